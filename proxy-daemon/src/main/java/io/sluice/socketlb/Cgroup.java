package io.sluice.socketlb;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A cgroup v2 directory whose processes are served.
 *
 * @param id number of the cgroup in the kernel
 */
record Cgroup(Path directory, long id) {
    /** Where distributions mount cgroup v2: alone, or beside cgroup v1. */
    private static final List<Path> MOUNTS = List.of(Path.of("/sys/fs/cgroup"), Path.of("/sys/fs/cgroup/unified"));

    /** The inode of the real root. In a cgroup namespace, the root of the mount is another cgroup. */
    private static final long ROOT_INODE = 1;

    /**
     * Finds the cgroup.
     *
     * @param directory the directory that the user named; null for the root of this machine
     * @throws IOException if there is none; the message is one line for users
     */
    static Cgroup find(@Nullable Path directory) throws IOException {
        if (directory != null) {
            if (!isCgroup(directory)) {
                throw new IOException("'" + directory + "' is not a directory in a cgroup v2 file system");
            }
            return new Cgroup(directory, inode(directory));
        }
        Path other = null;
        for (Path mount : MOUNTS) {
            if (isCgroup(mount)) {
                if (inode(mount) == ROOT_INODE) {
                    return new Cgroup(mount, ROOT_INODE);
                }
                other = mount;
            }
        }
        throw new IOException(
                other == null
                        ? "no cgroup v2 file system at " + MOUNTS.get(0) + " or " + MOUNTS.get(1)
                        : "'" + other + "' shows only the cgroup of this container; mount that of the host and name it"
                                + " with --socket-lb-cgroup");
    }

    private static boolean isCgroup(Path directory) throws IOException {
        return Files.isDirectory(directory)
                && Files.getFileStore(directory).type().equals("cgroup2");
    }

    private static long inode(Path directory) throws IOException {
        return (long) Files.getAttribute(directory, "unix:ino");
    }
}
