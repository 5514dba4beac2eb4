package io.sluice.ops;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.WritableByteChannel;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import org.jspecify.annotations.Nullable;

/**
 * A file to which lines are appended, or stdout. Works with logrotate: {@link #followRename} opens a new file if the
 * path has been renamed or deleted, and a truncated file continues at its new end. Used by one thread.
 */
final class LogFile implements AutoCloseable {
    /** The path that stands for stdout. */
    static final Path STDOUT = Path.of("-");

    private static final int MAX_OPEN_ATTEMPTS = 5;
    private static final byte[] LINE_BREAK = {'\n'};

    private final Path path;
    /** The open channel; null while the file cannot be opened. */
    private @Nullable WritableByteChannel channel;
    /** Device and inode of the open file; null for stdout. */
    private @Nullable Object fileKey;
    /** Whether the last write ended in the middle of a line. */
    private boolean midLine;

    private LogFile(Path path) {
        this.path = path;
    }

    /** Uses a channel instead of stdout, for tests. */
    LogFile(WritableByteChannel instead) {
        this(STDOUT);
        channel = instead;
    }

    /**
     * Opens the file, and creates it with mode 0640 if it does not exist.
     *
     * @throws IOException if the path cannot be opened or is not a regular file; {@link #message} describes it
     */
    static LogFile open(Path path) throws IOException {
        LogFile file = new LogFile(path);
        file.open();
        return file;
    }

    private void open() throws IOException {
        if (path.equals(STDOUT)) {
            channel = new FileOutputStream(FileDescriptor.out).getChannel();
            return;
        }
        for (int i = 0; i < MAX_OPEN_ATTEMPTS; i++) {
            Object before = existingOrCreated();
            FileChannel opened = FileChannel.open(path, StandardOpenOption.WRITE, StandardOpenOption.APPEND);
            boolean isKnown = false;
            try {
                isKnown = before.equals(currentKey());
            } finally {
                // If the path was renamed in between, it is unknown which of the two files is open.
                if (!isKnown) {
                    opened.close();
                }
            }
            if (isKnown) {
                channel = opened;
                fileKey = before;
                midLine = false;
                return;
            }
        }
        throw new FileSystemException(path.toString(), null, "renamed repeatedly");
    }

    private Object existingOrCreated() throws IOException {
        Object existing = currentKey();
        if (existing == null) {
            try {
                // Not opened with CREATE, because only this method can set the mode of a new file.
                Files.createFile(
                        path, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-r-----")));
            } catch (FileAlreadyExistsException e) {
                // Another process has just created it, or the path is a symbolic link without a target.
                existing = currentKey();
            }
            existing = existing == null ? currentKey() : existing;
        }
        if (existing == null) {
            throw new NoSuchFileException(path.toString());
        }
        return existing;
    }

    /** The device and inode of the file that now has this path; null if there is none. */
    private @Nullable Object currentKey() throws IOException {
        try {
            BasicFileAttributes attributes = Files.readAttributes(path, BasicFileAttributes.class);
            if (!attributes.isRegularFile()) {
                // Opening a FIFO would block until a process reads from it.
                throw new FileSystemException(path.toString(), null, "not a regular file; use a file, or - for stdout");
            }
            return attributes.fileKey();
        } catch (NoSuchFileException e) {
            return null;
        }
    }

    /**
     * Opens the file that now has the path, if it is not the open one.
     *
     * @throws IOException if it cannot be opened; the next call tries again
     */
    void followRename() throws IOException {
        if (channel == null || (fileKey != null && !fileKey.equals(currentKey()))) {
            close();
            open();
        }
    }

    /**
     * Appends complete lines. If an earlier write ended in the middle of a line, a line break comes first.
     *
     * @param lines the lines; after an exception, its position is the number of bytes written
     */
    void append(ByteBuffer lines) throws IOException {
        WritableByteChannel to = channel;
        if (to == null) {
            throw new NoSuchFileException(path.toString());
        }
        if (midLine) {
            to.write(ByteBuffer.wrap(LINE_BREAK));
            midLine = false;
        }
        try {
            while (lines.hasRemaining()) {
                to.write(lines);
            }
        } finally {
            midLine = lines.position() > 0 && lines.get(lines.position() - 1) != '\n';
        }
    }

    /** Describes why a file could not be opened or written, such as {@code Permission denied}. */
    static String message(IOException e) {
        if (e instanceof NoSuchFileException) {
            return "No such file or directory";
        }
        if (e instanceof AccessDeniedException) {
            return "Permission denied";
        }
        if (e instanceof FileSystemException system && system.getReason() != null) {
            return system.getReason();
        }
        return e.getMessage() == null ? e.toString() : e.getMessage();
    }

    /** Closes the file; stdout stays open. */
    @Override
    public void close() throws IOException {
        WritableByteChannel open = channel;
        channel = null;
        if (open != null && !path.equals(STDOUT)) {
            open.close();
        }
    }

    @Override
    public String toString() {
        return path.equals(STDOUT) ? "stdout" : "'" + path + "'";
    }
}
