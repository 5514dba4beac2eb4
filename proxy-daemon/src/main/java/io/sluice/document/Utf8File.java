package io.sluice.document;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** Reads a small text file as a whole. */
public final class Utf8File {
    private Utf8File() {}

    /**
     * The text of a file, without a byte order mark.
     *
     * @throws IOException if it cannot be read, has more bytes than allowed, or is not UTF-8; see {@link StrictYaml#explain}
     */
    public static String read(Path file, int mostBytes) throws IOException {
        // Malformed input is an error, not a question mark: hence the decoder.
        String text = StandardCharsets.UTF_8
                .newDecoder()
                .decode(ByteBuffer.wrap(bytes(file, mostBytes)))
                .toString();
        return text.startsWith("\uFEFF") ? text.substring(1) : text;
    }

    /**
     * The same, whatever its bytes are.
     *
     * @throws IOException if it cannot be read, or has more bytes than allowed
     */
    public static byte[] bytes(Path file, int mostBytes) throws IOException {
        try (InputStream in = Files.newInputStream(file)) {
            byte[] bytes = in.readNBytes(mostBytes + 1);
            if (bytes.length > mostBytes) {
                throw new IOException("it is larger than " + mostBytes + " bytes");
            }
            return bytes;
        }
    }
}
