package io.sluice.document;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** Reads whole files, and rejects files that are larger than a maximum size. */
public final class Utf8File {
    private Utf8File() {}

    /**
     * Reads a text file. Removes a byte order mark.
     *
     * @throws IOException if the file cannot be read, is larger than {@code maxBytes} or is not valid UTF-8; see
     *     {@link StrictYaml#explain}
     */
    public static String read(Path file, int maxBytes) throws IOException {
        // A decoder throws on malformed input; the String constructor would replace such input.
        String text = StandardCharsets.UTF_8
                .newDecoder()
                .decode(ByteBuffer.wrap(bytes(file, maxBytes)))
                .toString();
        return text.startsWith("\uFEFF") ? text.substring(1) : text;
    }

    /**
     * Reads a binary file.
     *
     * @throws IOException if the file cannot be read or is larger than {@code maxBytes}
     */
    public static byte[] bytes(Path file, int maxBytes) throws IOException {
        try (InputStream in = Files.newInputStream(file)) {
            byte[] bytes = in.readNBytes(maxBytes + 1);
            if (bytes.length > maxBytes) {
                throw new IOException("larger than " + maxBytes + " bytes");
            }
            return bytes;
        }
    }
}
