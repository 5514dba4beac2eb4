package io.sluice.socket;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** Reads kernel settings under /proc/sys, in the network namespace of the calling thread. */
public final class Sysctl {
    /** The maximum number of bytes to read; the settings that Sluice reads are shorter. */
    private static final int MAX_BYTES = 4096;

    private Sysctl() {}

    /**
     * Reads the value of a setting, without the trailing line break.
     *
     * <p>Does not use {@link Files#readString}: the reported size of these files is 0, so that method would first read
     * a single byte. The kernel returns the value only to a read at offset 0, so a single read must return all of it.
     *
     * @param name the name as a path, such as {@code net/core/rmem_max}
     */
    public static String read(String name) throws IOException {
        try (InputStream in = Files.newInputStream(Path.of("/proc/sys", name))) {
            return new String(in.readNBytes(MAX_BYTES), StandardCharsets.US_ASCII).strip();
        }
    }
}
