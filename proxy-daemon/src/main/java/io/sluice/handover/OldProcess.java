package io.sluice.handover;

import io.sluice.forward.ForwarderHandover;
import io.sluice.socket.UnixListener;
import io.sluice.socket.UnixSocket;
import java.io.EOFException;
import java.io.IOException;
import java.net.SocketTimeoutException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The new process's end of the connection to the old process. */
public final class OldProcess extends HandoverChannel {
    private static final Logger log = LoggerFactory.getLogger(OldProcess.class);

    /** Time limit for each reply: the old process may first have to handle another connection or apply a snapshot. */
    private static final Duration TIMEOUT = Duration.ofSeconds(30);

    private static final long POLL_NANOS = TimeUnit.MILLISECONDS.toNanos(1);

    /** Offer of the old process: how many descriptors it would send, and how many frontends it serves. */
    record Offer(int descriptors, int frontends) {}

    /** Final reply of the old process, sent after the new process has reported that it is serving. */
    enum Outcome {
        /** The handover is complete. */
        RELEASED,
        /** The old process has resumed serving. */
        KEPT,
        /** The old process has exited, or its reply is missing or invalid. */
        UNKNOWN
    }

    private OldProcess(UnixSocket socket) {
        super(socket);
    }

    /** Returns whether a trusted process listens on this path. */
    public static boolean isListening(Path path) {
        try (OldProcess old = connect(path)) {
            return old != null;
        }
    }

    /** Connects to the old process; returns null if no process listens on the path, or its user is not trusted. */
    static @Nullable OldProcess connect(Path path) {
        if (!Files.exists(path)) {
            return null;
        }
        try {
            UnixSocket connected = UnixSocket.connect(path, HELLO_TIMEOUT);
            int uid = connected.peerUid();
            if (UnixSocket.isTrusted(uid)) {
                return new OldProcess(connected);
            }
            connected.close();
            log.warn(
                    "ignoring the process at '{}': it runs as user ID {}; only root and this process's own user are"
                            + " trusted",
                    path,
                    uid);
            return null;
        } catch (IOException e) {
            log.info("no process listens on '{}', which an earlier process left behind: {}", path, e.getMessage());
            return null;
        }
    }

    /**
     * Requests an offer with protocol version 3; returns empty if the old process has already handed over to another
     * process.
     *
     * @throws EOFException if the old process closes the connection, as a version 2 process does
     */
    Optional<Offer> requestOffer(String rules) throws IOException {
        socket.writeLine(HELLO + VERSION + " " + ownPid() + " " + rules);
        String answer = await();
        if (answer.equals(TAKEN)) {
            return Optional.empty();
        }
        List<Integer> numbers = numbers(OFFER, answer);
        return Optional.of(new Offer(numbers.get(0), numbers.get(1)));
    }

    /** Declines the offer. */
    void decline(String reason) throws IOException {
        socket.writeLine(DECLINE + " " + reason);
    }

    /**
     * Accepts the offer, rehearses the handover with a test message, and receives the sockets and state.
     *
     * @param frontends number of frontends that this process is going to serve
     */
    ForwarderHandover accept(int frontends) throws IOException {
        int room = UnixSocket.descriptorRoom();
        socket.writeLine(ACCEPT + " " + room + " " + frontends);
        ForwarderHandover sample = receive(room);
        UnixSocket.closeAll(sample.descriptors());
        List<Integer> none = sample.descriptors().stream().map(descriptor -> 0).toList();
        if (!sample.withDescriptors(none).equals(HandoverFormat.SAMPLE)) {
            throw new IOException("the test message of the old process differs from the expected one: " + sample);
        }
        socket.writeLine(READY);
        return receive(room);
    }

    /** Requests and receives the sockets and state with protocol version 2. */
    ForwarderHandover acceptFromVersion2(Path path, String rules) throws IOException {
        Path pipePath = path.toAbsolutePath().resolveSibling(path.getFileName() + "." + ownPid());
        try (UnixListener listening = UnixListener.bind(pipePath)) {
            socket.writeLine(HELLO + VERSION_2 + " " + ownPid() + " " + rules + " " + pipePath);
            socket.limit(TIMEOUT);
            ForwarderHandover offered = HandoverFormat.read(socket.input());
            requireRoom(offered, UnixSocket.descriptorRoom());
            try (UnixSocket accepted = acceptTrusted(listening)) {
                return offered.withDescriptors(
                        accepted.receive(offered.descriptors().size()));
            }
        }
    }

    private static UnixSocket acceptTrusted(UnixListener listening) throws IOException {
        long deadlineNanos = System.nanoTime() + TIMEOUT.toNanos();
        while (System.nanoTime() - deadlineNanos < 0) {
            UnixSocket accepted = listening.accept(TIMEOUT);
            if (accepted == null) {
                LockSupport.parkNanos(POLL_NANOS);
            } else if (UnixSocket.isTrusted(accepted.peerUid())) {
                return accepted;
            } else {
                accepted.close();
            }
        }
        throw new SocketTimeoutException("the old process did not connect to the pipe");
    }

    private ForwarderHandover receive(int room) throws IOException {
        socket.limit(TIMEOUT);
        ForwarderHandover offered = HandoverFormat.read(socket.input());
        requireRoom(offered, room);
        socket.writeLine(RECEIVED);
        List<Integer> received = socket.receive(offered.descriptors().size());
        try {
            // This also fails if more descriptors arrive than were announced.
            expect(END);
            return offered.withDescriptors(received);
        } catch (IOException | RuntimeException e) {
            UnixSocket.closeAll(received);
            throw e;
        }
    }

    private static void requireRoom(ForwarderHandover offered, int room) throws IOException {
        int needed = offered.descriptors().size();
        if (needed > room) {
            throw new IOException("can open only " + room + " of " + needed + " descriptors");
        }
    }

    /** Reports that this process is serving; waits for the final reply of the old process and returns it. */
    Outcome serving() {
        try {
            socket.writeLine(SERVING);
        } catch (IOException e) {
            // The old process may already have replied and closed the connection; its reply can still be read.
            log.debug("the old process has closed the connection", e);
        }
        try {
            String answer = await();
            if (answer.equals(RELEASED)) {
                return Outcome.RELEASED;
            }
            if (answer.equals(KEPT)) {
                return Outcome.KEPT;
            }
            log.warn("unexpected reply '{}' from the old process", answer);
        } catch (IOException e) {
            log.info("no reply from the old process: {}", e.getMessage());
        }
        return Outcome.UNKNOWN;
    }

    private String await() throws IOException {
        socket.limit(TIMEOUT);
        return socket.readLine();
    }

    private static String ownPid() {
        return String.valueOf(ProcessHandle.current().pid());
    }
}
