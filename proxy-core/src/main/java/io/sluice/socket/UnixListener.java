package io.sluice.socket;

import io.netty.channel.unix.DomainSocketAddress;
import io.netty.channel.unix.FileDescriptor;
import io.netty.channel.unix.Socket;
import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.SecureDirectoryStream;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.BasicFileAttributeView;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ThreadLocalRandom;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A listening Unix socket that, from the moment it exists, only its owner and root can connect to.
 *
 * <p>Java cannot set the umask. The socket is therefore bound in a private directory (a new one with mode 0700) next to
 * its path, set to mode 0600 there, and moved to its path. Closing the listener removes the socket file only if its
 * inode is unchanged.
 */
public final class UnixListener implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(UnixListener.class);

    /** The maximum path length: the kernel's 107 bytes minus the suffix {@code /.sl-abcd/s} or {@code .PID}. */
    public static final int MAX_PATH_BYTES = 98;

    private static final String PRIVATE_PREFIX = ".sl-";
    private static final int SUFFIX_LENGTH = 4;
    private static final int SUFFIX_RADIX = 36;
    private static final Pattern PRIVATE_NAME =
            Pattern.compile(Pattern.quote(PRIVATE_PREFIX) + "[0-9a-z]{" + SUFFIX_LENGTH + "}");
    private static final String SOCKET_NAME = "s";

    /** The age at which a private directory counts as left behind. Binding needs it only for milliseconds. */
    private static final Duration LEFTOVER_AGE = Duration.ofMinutes(1);

    private static final int BACKLOG = 128;
    private static final int ACCEPTED_ADDRESS_BYTES = 26;
    private static final int TYPE = 0170000;
    private static final int SOCKET = 0140000;
    private static final int TYPE_AND_PERMISSIONS = TYPE | 0777;
    private static final int PRIVATE_DIRECTORY = 0040700;

    private final Socket socket;
    private final Path path;
    private final Inode inode;
    private final byte[] acceptedAddress = new byte[ACCEPTED_ADDRESS_BYTES];

    /** The identity, mode and owner of the file at a path. Symbolic links are not followed. */
    private record Inode(Object key, int mode, int uid) {
        /** Returns the file at a path; null if there is none. */
        static @Nullable Inode at(Path path) throws IOException {
            try {
                Map<String, Object> attributes =
                        Files.readAttributes(path, "unix:fileKey,mode,uid", LinkOption.NOFOLLOW_LINKS);
                Object key = Objects.requireNonNull(attributes.get("fileKey"));
                return new Inode(key, number(attributes.get("mode")), number(attributes.get("uid")));
            } catch (NoSuchFileException e) {
                return null;
            }
        }

        private static int number(@Nullable Object attribute) {
            return (Integer) Objects.requireNonNull(attribute);
        }

        boolean isSocket() {
            return (mode & TYPE) == SOCKET;
        }

        boolean isAt(Path path) throws IOException {
            Inode existing = at(path);
            return existing != null && existing.key.equals(key);
        }
    }

    private UnixListener(Socket socket, Path path, Inode inode) {
        this.socket = socket;
        this.path = path;
        this.inode = inode;
    }

    /** Whether the file at a path is a socket, not a symbolic link to one. */
    public static boolean isSocket(Path path) throws IOException {
        Inode existing = Inode.at(path);
        return existing != null && existing.isSocket();
    }

    /** Whether the file at a path is a socket, not a symbolic link to one, and is owned by the user of this process. */
    public static boolean isOwnSocket(Path path) throws IOException {
        Inode existing = Inode.at(path);
        return existing != null && existing.isSocket() && existing.uid == UnixSocket.ownUid();
    }

    /**
     * Creates a socket that listens at a path, and returns it. An existing socket at the path is replaced atomically.
     *
     * @throws IOException if the path cannot be bound, or the file at the path is not a socket
     */
    public static UnixListener bind(Path path) throws IOException {
        Path absolute = path.toAbsolutePath();
        Inode existing = Inode.at(absolute);
        if (existing != null && !existing.isSocket()) {
            throw new FileAlreadyExistsException("'" + absolute + "' exists and is not a socket");
        }
        removeLeftovers(absolute);
        Socket socket = UnixSocket.open();
        Path directory = privateDirectory(absolute);
        Path bound = directory.resolve(SOCKET_NAME);
        try {
            socket.bind(new DomainSocketAddress(bound.toString()));
            Files.setPosixFilePermissions(bound, PosixFilePermissions.fromString("rw-------"));
            Inode inode = Objects.requireNonNull(Inode.at(bound));
            socket.listen(BACKLOG);
            Files.move(bound, absolute, StandardCopyOption.ATOMIC_MOVE);
            return new UnixListener(socket, absolute, inode);
        } catch (IOException | RuntimeException e) {
            socket.close();
            throw e;
        } finally {
            Files.deleteIfExists(bound);
            Files.delete(directory);
        }
    }

    private static Path privateDirectory(Path absolute) throws IOException {
        int space = (int) Math.pow(SUFFIX_RADIX, SUFFIX_LENGTH);
        // The additional first digit preserves leading zeros.
        String suffix = Integer.toString(space + ThreadLocalRandom.current().nextInt(space), SUFFIX_RADIX);
        return Files.createDirectory(
                absolute.resolveSibling(PRIVATE_PREFIX + suffix.substring(1)),
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    }

    /** Removes private directories left behind by processes that were killed while binding. */
    private static void removeLeftovers(Path absolute) {
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(
                Objects.requireNonNull(absolute.getParent()),
                entry -> PRIVATE_NAME.matcher(entry.getFileName().toString()).matches())) {
            for (Path entry : entries) {
                if (entries instanceof SecureDirectoryStream<Path> parent) {
                    removeLeftover(parent, entry);
                }
            }
        } catch (IOException | DirectoryIteratorException e) {
            log.debug("cannot search the directory of '{}' for leftover private directories", absolute, e);
        }
    }

    /**
     * Deletes a leftover private directory, relative to the opened parent directory. If another directory replaces the
     * parent in the meantime, nothing in it is deleted.
     */
    private static void removeLeftover(SecureDirectoryStream<Path> parent, Path entry) {
        try {
            Inode leftover = Inode.at(entry);
            if (leftover == null
                    || (leftover.mode & TYPE_AND_PERMISSIONS) != PRIVATE_DIRECTORY
                    || leftover.uid != UnixSocket.ownUid()) {
                return;
            }
            try (SecureDirectoryStream<Path> directory =
                    parent.newDirectoryStream(entry.getFileName(), LinkOption.NOFOLLOW_LINKS)) {
                BasicFileAttributes opened = directory
                        .getFileAttributeView(BasicFileAttributeView.class)
                        .readAttributes();
                Instant age = Instant.now().minus(LEFTOVER_AGE);
                if (!leftover.key.equals(opened.fileKey())
                        || opened.lastModifiedTime().toInstant().isAfter(age)) {
                    return;
                }
                deleteSocket(directory);
            }
            // Fails if the directory contains other files.
            parent.deleteDirectory(entry.getFileName());
        } catch (IOException e) {
            log.debug("cannot remove leftover '{}'", entry, e);
        }
    }

    private static void deleteSocket(SecureDirectoryStream<Path> directory) throws IOException {
        Path name = Path.of(SOCKET_NAME);
        try {
            if (directory
                    .getFileAttributeView(name, BasicFileAttributeView.class, LinkOption.NOFOLLOW_LINKS)
                    .readAttributes()
                    .isOther()) {
                directory.deleteFile(name);
            }
        } catch (NoSuchFileException e) {
            log.trace("leftover private directory without a socket", e);
        }
    }

    /**
     * Accepts and returns the next connection of the backlog; returns null if the backlog is empty.
     *
     * @param timeout the time until the connection's first deadline
     */
    public @Nullable UnixSocket accept(Duration timeout) throws IOException {
        int descriptor = socket.accept(acceptedAddress);
        return descriptor < 0 ? null : new UnixSocket(new Socket(descriptor), timeout);
    }

    /** The descriptor to poll for new connections. */
    public FileDescriptor descriptor() {
        return socket;
    }

    /**
     * Removes the socket file if it still belongs to this socket, and closes the socket. Closing again does nothing.
     */
    @Override
    public void close() {
        if (!socket.isOpen()) {
            return;
        }
        try {
            removeFile();
        } catch (IOException e) {
            log.warn("cannot remove the socket file '{}': {}", path, e.toString());
        }
        try {
            socket.close();
        } catch (IOException e) {
            assert !socket.isOpen() : e;
        }
    }

    /**
     * Removes the socket file if it still belongs to this socket, so that no more processes can connect. Must be called
     * before the socket is closed, because while the socket is open, other processes do not replace its file and its
     * inode number is not reused. Thread-safe.
     */
    public void removeFile() throws IOException {
        if (inode.isAt(path)) {
            removeOwnFile();
        }
    }

    /**
     * Moves the file to a private directory, checks its inode again there, and deletes or restores it. Without the
     * second check, the socket file of a process that replaced this one in the meantime would be deleted.
     */
    private void removeOwnFile() throws IOException {
        Path directory = privateDirectory(path);
        Path moved = directory.resolve(SOCKET_NAME);
        try {
            Files.move(path, moved, StandardCopyOption.ATOMIC_MOVE);
            if (!inode.isAt(moved)) {
                // Restores the other process's file. Unlike renaming, linking does not replace a file that now exists
                // at the path.
                Files.createLink(path, moved);
            }
        } catch (NoSuchFileException | FileAlreadyExistsException e) {
            log.debug("'{}' was removed or replaced by another process", path, e);
        } finally {
            Files.deleteIfExists(moved);
            Files.delete(directory);
        }
    }
}
