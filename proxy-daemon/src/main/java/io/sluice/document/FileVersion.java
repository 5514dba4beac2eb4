package io.sluice.document;

import static java.util.Objects.requireNonNull;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.Map;

/**
 * The attributes of a file that show whether it has changed since it was read.
 *
 * @param modified time of the last write
 * @param changed time of the last write, rename, or change of owner, mode or timestamps
 * @param regular whether the file is a regular file
 */
public record FileVersion(
        Object device, Object inode, Object size, FileTime modified, FileTime changed, boolean regular) {

    /** Reads the attributes of a file. Follows symbolic links, since every file in a ConfigMap mount is one. */
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

    /** Whether both versions belong to the same inode. */
    public boolean sameFile(FileVersion other) {
        return device.equals(other.device) && inode.equals(other.inode);
    }

    /** Whether the file has no content. */
    public boolean isEmpty() {
        return size.equals(0L);
    }

    /**
     * Whether the last change was a rename or a change of attributes, which sets only the change time. A write sets
     * both times to the same value. When {@code cp -p} and rsync finish, they also set only the change time.
     */
    public boolean isFinished() {
        return !changed.equals(modified);
    }
}
