package io.sluice.apiserver;

import io.sluice.document.FileVersion;
import io.sluice.document.StrictYaml;
import io.sluice.document.Utf8File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A token, key or certificate: given in place, or in a file that may be replaced at any time. While a file cannot be
 * read, what it held before counts.
 */
final class FileCredential {
    private static final Logger log = LoggerFactory.getLogger(FileCredential.class);
    private static final long LOOK_NANOS = TimeUnit.SECONDS.toNanos(1);
    private static final int MAX_BYTES = 1 << 20;

    private final String name;
    private final @Nullable Path file;
    private String text;
    private @Nullable FileVersion stamp;
    private @Nullable Long lookedNanos;
    private boolean unreadable;

    private FileCredential(String name, @Nullable Path file, String text) {
        this.name = name;
        this.file = file;
        this.text = text;
    }

    /** @param name for people */
    static FileCredential of(String name, String text) {
        return new FileCredential(name, null, text);
    }

    /** @param setBy who says that it is this file, for people */
    static FileCredential in(Path file, String setBy) throws ApiAccessException {
        FileCredential material = new FileCredential(file.toString(), file, "");
        try {
            material.stamp = FileVersion.of(file);
            material.text = material.read();
        } catch (NoSuchFileException e) {
            throw new ApiAccessException(setBy + ": " + file + " does not exist");
        } catch (IOException e) {
            throw new ApiAccessException(setBy + ": " + file + " cannot be read: " + StrictYaml.explain(e));
        }
        return material;
    }

    private String read() throws IOException {
        // Comments of a PEM bundle may be in any encoding.
        String read = new String(Utf8File.bytes(Objects.requireNonNull(file), MAX_BYTES), StandardCharsets.UTF_8);
        if (read.isEmpty()) {
            throw new IOException("it is empty");
        }
        return read;
    }

    /** The file, or the field it was given in. */
    String name() {
        return name;
    }

    synchronized String text() {
        return text;
    }

    /**
     * Reads the file again if it changed, but looks at most once a second unless {@code atOnce}.
     *
     * @return whether it holds something else than before
     */
    synchronized boolean refresh(long nowNanos, boolean atOnce) {
        if (file == null || (!atOnce && lookedNanos != null && nowNanos - lookedNanos < LOOK_NANOS)) {
            return false;
        }
        lookedNanos = nowNanos;
        try {
            // Before it is read: a change in between is seen the next time.
            FileVersion now = FileVersion.of(file);
            if (now.equals(stamp) && !atOnce && !unreadable) {
                return false;
            }
            String read = read();
            stamp = now;
            if (unreadable) {
                unreadable = false;
                log.info("{} can be read again", file);
            }
            boolean changed = !read.equals(text);
            text = read;
            return changed;
        } catch (IOException e) {
            if (!unreadable) {
                unreadable = true;
                log.warn(
                        "{} cannot be read any more: {}; what it held before is used",
                        file,
                        e instanceof NoSuchFileException ? "it is gone" : StrictYaml.explain(e));
            }
            return false;
        }
    }
}
