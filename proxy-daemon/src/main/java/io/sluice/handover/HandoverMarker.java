package io.sluice.handover;

import io.sluice.socket.UnixSocket;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A file that marks a container whose process has handed over. If the kubelet restarts that container, its new process
 * must not take the sockets back from the pod that replaces it. It stands by and opens no port, so that probes on the
 * host network reach the process that serves. It starts if no process has listened on the handover socket for a while,
 * because its pod may then be the only one on the node.
 */
public final class HandoverMarker {
    private static final Logger log = LoggerFactory.getLogger(HandoverMarker.class);

    /**
     * How long no process must listen. In a handover, the new process opens the socket within a second, and a container
     * that fails is restarted at once for the first time.
     */
    static final Duration ABSENCE = Duration.ofSeconds(5);

    private static final Duration INTERVAL = Duration.ofSeconds(1);
    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(1);

    private final Path file;
    private final Path socket;
    private final BooleanSupplier listening;
    private final LongSupplier nanoClock;
    private long lastListeningNanos;

    /**
     * Creates the object without accessing the file.
     *
     * @param socket handover socket that all processes on this node share
     */
    public HandoverMarker(Path file, Path socket) {
        this(file, socket, () -> isListening(socket), System::nanoTime);
    }

    HandoverMarker(Path file, Path socket, BooleanSupplier listening, LongSupplier nanoClock) {
        this.file = file;
        this.socket = socket;
        this.listening = listening;
        this.nanoClock = nanoClock;
    }

    /** Unlike {@link OldProcess#isListening}, does not log, because it is called every second. */
    private static boolean isListening(Path socket) {
        try (UnixSocket connected = UnixSocket.connect(socket, CONNECT_TIMEOUT)) {
            return UnixSocket.isTrusted(connected.peerUid());
        } catch (IOException e) {
            log.trace("no process listens on '{}'", socket, e);
            return false;
        }
    }

    /** Writes the file, so that it is either complete or absent. Does nothing without a file. */
    public static void write(@Nullable Path file) {
        if (file == null) {
            return;
        }
        try {
            Path next = file.resolveSibling(file.getFileName() + ".new");
            Files.writeString(next, "process " + ProcessHandle.current().pid() + " has handed over\n");
            Files.move(next, file, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException e) {
            log.warn(
                    "cannot write '{}': {}; after a restart, this container would take over again", file, e.toString());
        }
    }

    /**
     * Waits while the file exists and another process listens on the handover socket, and then removes the file.
     *
     * @param readyFile readiness file, which an earlier process may have left behind; null if none is set
     * @param stop latch that ends the wait
     * @return whether this process may start; false if it was stopped
     * @throws IllegalStateException if a file cannot be removed
     */
    public boolean standBy(@Nullable Path readyFile, CountDownLatch stop) throws InterruptedException {
        if (!Files.exists(file)) {
            return true;
        }
        if (readyFile != null) {
            remove(readyFile, "--ready-file");
        }
        log.info(
                "standing by: '{}' shows that this container has handed over; starting if no process listens on '{}'"
                        + " for {} s",
                file,
                socket,
                ABSENCE.toSeconds());
        if (!awaitAbsence(stop)) {
            return false;
        }
        log.warn("no process has listened on '{}' for {} s; starting", socket, ABSENCE.toSeconds());
        remove();
        return true;
    }

    /** Waits until no process has listened on the handover socket for a while; returns false if stopped before that. */
    public boolean awaitAbsence(CountDownLatch stop) throws InterruptedException {
        lastListeningNanos = nanoClock.getAsLong();
        while (!isAbsent()) {
            if (stop.await(INTERVAL.toMillis(), TimeUnit.MILLISECONDS)) {
                return false;
            }
        }
        return true;
    }

    /** Checks once; returns whether no process has listened since {@link #ABSENCE} ago. */
    boolean isAbsent() {
        long now = nanoClock.getAsLong();
        if (listening.getAsBoolean()) {
            lastListeningNanos = now;
        }
        return now - lastListeningNanos >= ABSENCE.toNanos();
    }

    /**
     * Removes the file, so that the next process of this container starts at once.
     *
     * @throws IllegalStateException if that is not possible
     */
    public void remove() {
        remove(file, "--handover-marker");
    }

    private static void remove(Path file, String flag) {
        try {
            Files.deleteIfExists(file);
        } catch (IOException e) {
            throw new IllegalStateException(flag + ": cannot remove '" + file + "': " + e, e);
        }
    }
}
