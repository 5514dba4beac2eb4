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
 * A listening Unix socket that only this user and root can connect to, from its first moment on.
 *
 * <p>Java cannot set the umask, so the socket is bound in a fresh directory of mode 0700 beside its path, gets mode 0600
 * there and is renamed into place. Its file is removed at the end only if it is still the same inode.
 */
public final class UnixListener implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(UnixListener.class);

    /** Of 107 that the kernel takes, less what {@code /.sl-abcd/s} and {@code .PID} may have more than a path. */
    public static final int LONGEST_PATH_BYTES = 98;

    private static final String PRIVATE_PREFIX = ".sl-";
    private static final int SUFFIX_LENGTH = 4;
    private static final int SUFFIX_RADIX = 36;
    private static final Pattern PRIVATE_NAME =
            Pattern.compile(Pattern.quote(PRIVATE_PREFIX) + "[0-9a-z]{" + SUFFIX_LENGTH + "}");
    private static final String SOCKET_NAME = "s";

    /** A start takes milliseconds between making the private directory and removing it. */
    private static final Duration LEFT_BEHIND_AFTER = Duration.ofMinutes(1);

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

    /** What lies at a path itself: a symbolic link is not followed. */
    private record Inode(Object key, int mode, int uid) {
        /** Null if nothing is there. */
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
            Inode there = at(path);
            return there != null && there.key.equals(key);
        }
    }

    private UnixListener(Socket socket, Path path, Inode inode) {
        this.socket = socket;
        this.path = path;
        this.inode = inode;
    }

    /** Whether a socket lies at a path, and not a link to one. */
    public static boolean isSocket(Path path) throws IOException {
        Inode there = Inode.at(path);
        return there != null && there.isSocket();
    }

    /** Whether a socket of this process's user lies at a path, and not a link to one. */
    public static boolean isOwnSocket(Path path) throws IOException {
        Inode there = Inode.at(path);
        return there != null && there.isSocket() && there.uid == UnixSocket.ownUid();
    }

    /**
     * Listens at a path; a socket that is there is replaced in one step.
     *
     * @throws IOException also if something else than a socket is there
     */
    public static UnixListener bind(Path path) throws IOException {
        Path place = path.toAbsolutePath();
        Inode there = Inode.at(place);
        if (there != null && !there.isSocket()) {
            throw new FileAlreadyExistsException(place + " exists and is not a socket");
        }
        removeLeftovers(place);
        Socket socket = UnixSocket.open();
        Path directory = privateDirectory(place);
        Path bound = directory.resolve(SOCKET_NAME);
        try {
            socket.bind(new DomainSocketAddress(bound.toString()));
            Files.setPosixFilePermissions(bound, PosixFilePermissions.fromString("rw-------"));
            Inode inode = Objects.requireNonNull(Inode.at(bound));
            socket.listen(BACKLOG);
            Files.move(bound, place, StandardCopyOption.ATOMIC_MOVE);
            return new UnixListener(socket, place, inode);
        } catch (IOException | RuntimeException e) {
            socket.close();
            throw e;
        } finally {
            Files.deleteIfExists(bound);
            Files.delete(directory);
        }
    }

    private static Path privateDirectory(Path place) throws IOException {
        int space = (int) Math.pow(SUFFIX_RADIX, SUFFIX_LENGTH);
        // One more digit in front keeps the leading zeros.
        String suffix = Integer.toString(space + ThreadLocalRandom.current().nextInt(space), SUFFIX_RADIX);
        return Files.createDirectory(
                place.resolveSibling(PRIVATE_PREFIX + suffix.substring(1)),
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    }

    /** Removes private directories that a start left behind when it was killed. */
    private static void removeLeftovers(Path place) {
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(
                Objects.requireNonNull(place.getParent()),
                entry -> PRIVATE_NAME.matcher(entry.getFileName().toString()).matches())) {
            for (Path entry : entries) {
                if (entries instanceof SecureDirectoryStream<Path> parent) {
                    removeLeftover(parent, entry);
                }
            }
        } catch (IOException | DirectoryIteratorException e) {
            log.debug("the directory of '{}' was not searched for leftovers", place, e);
        }
    }

    /** Deletes relative to the opened directory: if another one takes its place, nothing is deleted there. */
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
                Instant age = Instant.now().minus(LEFT_BEHIND_AFTER);
                if (!leftover.key.equals(opened.fileKey())
                        || opened.lastModifiedTime().toInstant().isAfter(age)) {
                    return;
                }
                deleteSocket(directory);
            }
            // Fails if it has anything else in it.
            parent.deleteDirectory(entry.getFileName());
        } catch (IOException e) {
            log.debug("'{}' was not removed", entry, e);
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
            log.trace("killed before it had bound its socket", e);
        }
    }

    /**
     * The next connection that waits; null if there is none.
     *
     * @param limit its first deadline
     */
    public @Nullable UnixSocket accept(Duration limit) throws IOException {
        int descriptor = socket.accept(acceptedAddress);
        return descriptor < 0 ? null : new UnixSocket(new Socket(descriptor), limit);
    }

    /** To be watched for connections. */
    public FileDescriptor descriptor() {
        return socket;
    }

    /** Removes the file if it is still this socket's, and closes the socket. Closing again does nothing. */
    @Override
    public void close() {
        if (!socket.isOpen()) {
            return;
        }
        try {
            removeFile();
        } catch (IOException e) {
            log.warn("'{}' could not be removed: {}", path, e.toString());
        }
        try {
            socket.close();
        } catch (IOException e) {
            assert !socket.isOpen() : e;
        }
    }

    /**
     * Removes the file if it is still this socket's; no process can connect from now on. Any thread, before the socket is
     * closed: as long as it answers, no other process replaces its file, and its inode number is not used again.
     */
    public void removeFile() throws IOException {
        if (inode.isAt(path)) {
            removeOwnFile();
        }
    }

    /**
     * Looks again where no other process can replace the file: between a look at the path and an unlink there, another
     * process could put its own socket in place.
     */
    private void removeOwnFile() throws IOException {
        Path directory = privateDirectory(path);
        Path moved = directory.resolve(SOCKET_NAME);
        try {
            Files.move(path, moved, StandardCopyOption.ATOMIC_MOVE);
            if (!inode.isAt(moved)) {
                // Unlike a rename it replaces nothing, should there be a third one by now.
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
