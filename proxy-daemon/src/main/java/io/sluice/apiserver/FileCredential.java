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
 * A token, key or certificate, given inline or in a file that may be replaced at any time. If the file becomes
 * unreadable, the last content stays in use.
 */
final class FileCredential {
    private static final Logger log = LoggerFactory.getLogger(FileCredential.class);
    private static final long CHECK_INTERVAL_NANOS = TimeUnit.SECONDS.toNanos(1);
    private static final int MAX_BYTES = 1 << 20;

    private final String name;
    private final @Nullable Path file;
    private String text;
    private @Nullable FileVersion version;
    private @Nullable Long lastCheckNanos;
    private boolean unreadable;

    private FileCredential(String name, @Nullable Path file, String text) {
        this.name = name;
        this.file = file;
        this.text = text;
    }

    /**
     * Creates a credential that was given inline.
     *
     * @param name name of the credential, shown in messages
     */
    static FileCredential of(String name, String text) {
        return new FileCredential(name, null, text);
    }

    /**
     * Creates a credential and reads it from a file.
     *
     * @param setting setting that names the file, shown in messages
     */
    static FileCredential fromFile(Path file, String setting) throws ApiAccessException {
        FileCredential credential = new FileCredential(file.toString(), file, "");
        try {
            credential.version = FileVersion.of(file);
            credential.text = credential.read();
        } catch (NoSuchFileException e) {
            throw new ApiAccessException(setting + ": " + file + " does not exist");
        } catch (IOException e) {
            throw new ApiAccessException(setting + ": cannot read " + file + ": " + StrictYaml.explain(e));
        }
        return credential;
    }

    private String read() throws IOException {
        // Utf8File.read is not suitable, because comments in a PEM bundle may be in any encoding.
        String read = new String(Utf8File.bytes(Objects.requireNonNull(file), MAX_BYTES), StandardCharsets.UTF_8);
        if (read.isEmpty()) {
            throw new IOException("the file is empty");
        }
        return read;
    }

    /** The file or field that contains the credential. */
    String name() {
        return name;
    }

    synchronized String text() {
        return text;
    }

    /**
     * Reads the file again if it has changed (checked at most once a second) or {@code force} is set.
     *
     * @return whether the content changed
     */
    synchronized boolean refresh(long nowNanos, boolean force) {
        if (file == null || (!force && lastCheckNanos != null && nowNanos - lastCheckNanos < CHECK_INTERVAL_NANOS)) {
            return false;
        }
        lastCheckNanos = nowNanos;
        try {
            // Get the version before reading, so that the next check notices a change during the read.
            FileVersion now = FileVersion.of(file);
            if (now.equals(version) && !force && !unreadable) {
                return false;
            }
            String read = read();
            version = now;
            if (unreadable) {
                unreadable = false;
                log.info("{} is readable again", file);
            }
            boolean changed = !read.equals(text);
            text = read;
            return changed;
        } catch (IOException e) {
            if (!unreadable) {
                unreadable = true;
                log.warn(
                        "cannot read {}: {}; continuing with its last content",
                        file,
                        e instanceof NoSuchFileException ? "the file does not exist" : StrictYaml.explain(e));
            }
            return false;
        }
    }
}
