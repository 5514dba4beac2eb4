package io.sluice.socket;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** Kernel settings under /proc/sys, as seen in the network namespace of the calling thread. */
public final class Sysctl {
    /** More than any setting that is read here has. */
    private static final int MAX_BYTES = 4096;

    private Sysctl() {}

    /**
     * The value of a setting without the line break at its end.
     *
     * <p>Not {@link Files#readString}: these files have a reported size of 0, for which it reads a single byte first, and
     * the kernel returns a setting only to a read at its start. So one read has to take all of it.
     *
     * @param name as a path, such as {@code net/core/rmem_max}
     */
    public static String read(String name) throws IOException {
        try (InputStream in = Files.newInputStream(Path.of("/proc/sys", name))) {
            return new String(in.readNBytes(MAX_BYTES), StandardCharsets.US_ASCII).strip();
        }
    }
}
