package io.sluice.handover;

import io.sluice.forward.Forwarder;
import io.sluice.forward.ForwarderHandover;
import io.sluice.handover.OldProcess.Offer;
import io.sluice.handover.OldProcess.Outcome;
import io.sluice.model.ServiceSnapshot;
import io.sluice.socket.UnixSocket;
import io.sluice.text.Table;
import io.sluice.thread.Supervisor;
import java.io.EOFException;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The new process's side of a handover. Receives listeners, UDP flows, session affinity and open TCP connections from
 * the old process without interrupting clients.
 */
public final class HandoverClient {
    private static final Logger log = LoggerFactory.getLogger(HandoverClient.class);

    private static final int ATTEMPTS = 5;
    /** Maximum attempts after the reply 'taken', because the other new process needs time to open its socket. */
    private static final int ATTEMPTS_AFTER_ANOTHER = 30;

    private static final long FIRST_PAUSE_NANOS = TimeUnit.MILLISECONDS.toNanos(100);
    private static final long STOP_POLL_NANOS = TimeUnit.MILLISECONDS.toNanos(1);
    private static final long LONGEST_PAUSE_NANOS = TimeUnit.SECONDS.toNanos(1);

    /** Result of a handover. */
    public enum Result {
        /** This process is serving. */
        SERVING,
        /** This process has no Services yet, so the old process continues to serve; the caller must retry later. */
        WAITING,
        /** The handover failed: the old process continues to serve, and this process must exit. */
        HANDOVER_FAILED
    }

    private final Path socket;
    private final Forwarder forwarder;
    private final String rulesOptions;
    private final boolean mayBeEmpty;
    /** Protocol version of the next attempt; lower if the old process does not support the current one. */
    private int version = HandoverChannel.VERSION;

    private int attempts = ATTEMPTS;
    private volatile boolean isReceiving;
    private volatile @Nullable ConnectionReceiver connectionReceiver;
    private long attemptStartNanos;
    private int oldPid;
    private volatile @Nullable ReceivedHandover received;

    /**
     * Creates a client without connecting it.
     *
     * @param socket handover socket of the old process
     * @param rulesOptions string that describes how this process redirects packets; the old process compares it with
     *     its own
     * @param mayBeEmpty whether to take over with an empty snapshot from a version 2 process, which does not report how
     *     many frontends it serves
     */
    public HandoverClient(Path socket, Forwarder forwarder, String rulesOptions, boolean mayBeEmpty) {
        this.socket = socket;
        this.forwarder = forwarder;
        this.rulesOptions = rulesOptions;
        this.mayBeEmpty = mayBeEmpty;
    }

    /**
     * Requests the handover and applies the snapshot with the sockets and state of the old process. If the old process
     * has exited or repeatedly violates the protocol, applies the snapshot without them (cold start).
     */
    public Result requestHandover(ServiceSnapshot snapshot) {
        attempts = ATTEMPTS;
        for (int failures = 0; failures < attempts; failures++) {
            attemptStartNanos = System.nanoTime();
            OldProcess old = OldProcess.connect(socket);
            if (old == null) {
                // The old process has exited and closed its sockets.
                forwarder.apply(snapshot);
                return Result.SERVING;
            }
            try {
                oldPid = old.pid();
                Optional<Result> result = version == HandoverChannel.VERSION_2
                        ? requestFromVersion2(old, snapshot)
                        : requestHandover(old, snapshot);
                if (result.isPresent()) {
                    return result.get();
                }
            } catch (IOException e) {
                log.info("handover attempt failed: {}", e.getMessage());
            } finally {
                if (!isReceiving) {
                    old.close();
                }
            }
            LockSupport.parkNanos(Math.min(LONGEST_PAUSE_NANOS, FIRST_PAUSE_NANOS << Math.min(failures, 4)));
        }
        log.warn(
                "no handover after {} attempts; starting without the sockets and state of the old process (cold start)",
                attempts);
        forwarder.apply(snapshot);
        return Result.SERVING;
    }

    /** Makes one attempt; returns empty if another attempt is needed. */
    private Optional<Result> requestHandover(OldProcess old, ServiceSnapshot snapshot) throws IOException {
        Optional<Offer> reply;
        try {
            reply = old.requestOffer(version, rulesOptions);
        } catch (EOFException e) {
            log.info("the old process does not support handover protocol version {}; using {}", version, version - 1);
            version--;
            return Optional.empty();
        }
        if (reply.isEmpty()) {
            log.info("the old process has already handed over to another process; connecting to that process");
            attempts = ATTEMPTS_AFTER_ANOTHER;
            return Optional.empty();
        }
        Offer offer = reply.get();
        int frontends = frontends(snapshot);
        if (frontends == 0 && offer.frontends() > 0) {
            old.decline("nothing to serve yet");
            return Optional.of(Result.WAITING);
        }
        int room = UnixSocket.descriptorRoom();
        if (room < offer.descriptors()) {
            old.decline("can open only " + room + " of " + offer.descriptors() + " descriptors");
            log.error(
                    "cannot receive {} descriptors: the limit (ulimit -n) leaves room for only {}; exiting, and the old"
                            + " process continues to serve",
                    offer.descriptors(),
                    room);
            return Optional.of(Result.HANDOVER_FAILED);
        }
        return Optional.of(serve(old, old.accept(frontends), snapshot));
    }

    private Optional<Result> requestFromVersion2(OldProcess old, ServiceSnapshot snapshot) throws IOException {
        if (frontends(snapshot) == 0 && !mayBeEmpty) {
            return Optional.of(Result.WAITING);
        }
        return Optional.of(serve(old, old.acceptFromVersion2(socket, rulesOptions), snapshot));
    }

    private static int frontends(ServiceSnapshot snapshot) {
        int[] frontends = new int[1];
        snapshot.forEach(servicePort -> frontends[0] += servicePort.frontends().size());
        return frontends[0];
    }

    private Result serve(OldProcess old, ForwarderHandover handover, ServiceSnapshot snapshot) {
        log.info(
                "received {} and {} from the old process",
                Table.count(handover.frontends().size(), "frontend"),
                Table.count(handover.flows(), "UDP flow"));
        try {
            forwarder.inherit(handover);
            forwarder.apply(snapshot);
        } catch (RuntimeException | Error e) {
            // The old process resumes serving when the connection closes. A retry would start from partial state.
            log.error("handover failed; exiting, and the old process continues to serve", e);
            return abandon();
        }
        Outcome outcome = old.serving();
        // A version 2 process that resumed serving has closed the connection without a reply.
        boolean kept = outcome == Outcome.KEPT
                || (outcome == Outcome.UNKNOWN
                        && version == HandoverChannel.VERSION_2
                        && OldProcess.isListening(socket));
        if (kept) {
            log.error("handover took too long; exiting, and the old process continues to serve");
            return abandon();
        }
        boolean moves = outcome == Outcome.RELEASED && old.movesConnections();
        ReceivedHandover listeners = new ReceivedHandover(
                oldPid, handover.frontends().size(), handover.flows(), 0, 0, !moves, elapsed(), Instant.now());
        received = listeners;
        if (moves) {
            receiveConnections(new ConnectionReceiver(
                    old,
                    forwarder,
                    (moved, left) -> received = listeners.withConnections(moved, left, false, elapsed())));
        }
        return Result.SERVING;
    }

    private Duration elapsed() {
        return Duration.ofNanos(System.nanoTime() - attemptStartNanos);
    }

    /** Receives the connections on a thread of its own, while this process is already serving. */
    @SuppressWarnings("FutureReturnValueIgnored") // it does not fail
    private void receiveConnections(ConnectionReceiver receiver) {
        connectionReceiver = receiver;
        isReceiving = true;
        Supervisor.call("sluice-connection-receiver", () -> {
                    try (receiver) {
                        receiver.receiveAll();
                    }
                    return true;
                })
                .whenComplete((done, fault) -> {
                    if (fault != null) {
                        log.error("internal error while receiving connections from the old process", fault);
                    }
                    ReceivedHandover last = Objects.requireNonNull(received);
                    received = last.withConnections(last.connections(), last.connectionsLeft(), true, elapsed());
                    isReceiving = false;
                });
    }

    /** Whether the old process is still moving its connections to this process. Thread-safe. */
    public boolean isReceivingConnections() {
        return isReceiving;
    }

    /** Stops receiving connections, which stay in the old process, and waits until the last batch is complete. */
    public void stopReceiving() {
        ConnectionReceiver receiver = connectionReceiver;
        if (receiver != null) {
            receiver.stop();
        }
        long deadlineNanos = System.nanoTime() + NewProcess.MOVE_TIMEOUT.toNanos();
        while (isReceiving && System.nanoTime() - deadlineNanos < 0) {
            LockSupport.parkNanos(STOP_POLL_NANOS);
        }
    }

    /** Returns what was received so far; null before a handover, and after a cold start. Thread-safe. */
    public @Nullable ReceivedHandover received() {
        return received;
    }

    private Result abandon() {
        forwarder.closeReleased(forwarder.release());
        return Result.HANDOVER_FAILED;
    }
}
