package io.sluice.cli;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Locale;
import java.util.zip.GZIPOutputStream;

/**
 * Writes a compressed archive of regular files in the ustar format. The files are readable by their owner only. The image
 * has no program for this.
 */
final class TarGzWriter implements AutoCloseable {
    private static final int BLOCK = 512;
    private static final int MAX_NAME = 100;
    private static final int CHECKSUM = 148;

    private final GZIPOutputStream out;
    private final long epochSeconds;

    /** @param time modification time of all files */
    TarGzWriter(OutputStream out, Instant time) throws IOException {
        this.out = new GZIPOutputStream(out);
        epochSeconds = time.getEpochSecond();
    }

    /** @param path path in the archive, at most 99 ASCII characters */
    void add(String path, byte[] content) throws IOException {
        out.write(header(path, content.length));
        out.write(content);
        out.write(new byte[(BLOCK - content.length % BLOCK) % BLOCK]);
    }

    private byte[] header(String path, int length) {
        if (path.length() >= MAX_NAME) {
            throw new IllegalArgumentException("the path is too long for an archive: " + path);
        }
        ByteBuffer header = ByteBuffer.allocate(BLOCK);
        put(header, 0, path);
        put(header, 100, "0000600");
        put(header, 108, "0000000");
        put(header, 116, "0000000");
        put(header, 124, String.format(Locale.ROOT, "%011o", length));
        put(header, 136, String.format(Locale.ROOT, "%011o", epochSeconds));
        // The checksum is the sum of all bytes of the header, with blanks in place of the checksum itself.
        put(header, CHECKSUM, " ".repeat(8));
        put(header, 156, "0");
        put(header, 257, "ustar\00000");
        int sum = 0;
        for (byte each : header.array()) {
            sum += each & 0xff;
        }
        put(header, CHECKSUM, String.format(Locale.ROOT, "%06o\0 ", sum));
        return header.array();
    }

    private static void put(ByteBuffer header, int position, String text) {
        header.put(position, text.getBytes(StandardCharsets.US_ASCII));
    }

    /** Writes the end of the archive, and closes the stream. */
    @Override
    public void close() throws IOException {
        out.write(new byte[2 * BLOCK]);
        out.close();
    }
}
