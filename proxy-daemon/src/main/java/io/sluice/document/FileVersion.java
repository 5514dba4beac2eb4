package io.sluice.document;

import static java.util.Objects.requireNonNull;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.Map;

/**
 * What tells, without reading it, whether a file is the one that was read before.
 *
 * @param modified moves with every write
 * @param changed moves with every write, and when the file is renamed or its owner, mode or time stamps are set
 */
public record FileVersion(
        Object device, Object inode, Object size, FileTime modified, FileTime changed, boolean regular) {

    /** Follows links: in a ConfigMap mount every file is one. */
    public static FileVersion of(Path file) throws IOException {
        Map<String, Object> is = Files.readAttributes(file, "unix:dev,ino,size,lastModifiedTime,ctime,isRegularFile");
        return new FileVersion(
                requireNonNull(is.get("dev")),
                requireNonNull(is.get("ino")),
                requireNonNull(is.get("size")),
                (FileTime) requireNonNull(is.get("lastModifiedTime")),
                (FileTime) requireNonNull(is.get("ctime")),
                Boolean.TRUE.equals(is.get("isRegularFile")));
    }

    public boolean sameFile(FileVersion other) {
        return device.equals(other.device) && inode.equals(other.inode);
    }

    public boolean isEmpty() {
        return size.equals(0L);
    }

    /** A write sets both times alike. A rename sets one of them, and so do {@code cp -p} and rsync when they end. */
    public boolean isFinished() {
        return !changed.equals(modified);
    }
}
