package io.sluice.handover;

import io.sluice.forward.ForwarderHandover;
import io.sluice.forward.MovedConnection;
import io.sluice.socket.Errno;
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
    private static final long BUSY_POLL_NANOS = TimeUnit.MICROSECONDS.toNanos(50);
    /** Time after the last batch of connections during which another is expected. */
    private static final long BUSY_NANOS = TimeUnit.MILLISECONDS.toNanos(20);

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

    private int version = VERSION;

    /** Creates the end of an open connection. */
    OldProcess(UnixSocket socket) {
        super(socket);
    }

    /** Whether the old process also hands over its TCP connections. */
    boolean movesConnections() {
        return version >= VERSION;
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

    /** Returns the process ID of the old process; 0 if it is in another PID namespace. */
    int pid() throws IOException {
        return socket.peerPid();
    }

    /**
     * Requests an offer with protocol version 3 or 4; returns empty if the old process has already handed over to another
     * process.
     *
     * @throws EOFException if the old process closes the connection, as it does if it does not support the version
     */
    Optional<Offer> requestOffer(int withVersion, String rules) throws IOException {
        version = withVersion;
        socket.writeLine(HELLO + version + " " + ownPid() + " " + rules);
        String answer = await();
        if (answer.equals(TAKEN)) {
            return Optional.empty();
        }
        List<Integer> numbers = numbers(OFFER, 2, answer);
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
        if (movesConnections()) {
            receiveSampleConnections();
        }
        socket.writeLine(READY);
        return receive(room);
    }

    private void receiveSampleConnections() throws IOException {
        socket.limit(TIMEOUT);
        List<MovedConnection> sample = receiveConnections(HandoverFormat.SAMPLE_CONNECTIONS.size());
        List<Integer> descriptors = MovedConnection.descriptors(sample);
        UnixSocket.closeAll(descriptors);
        List<Integer> none = descriptors.stream().map(descriptor -> 0).toList();
        if (!MovedConnection.withDescriptors(sample, none).equals(HandoverFormat.SAMPLE_CONNECTIONS)) {
            throw new IOException("the test connection of the old process differs from the expected one: " + sample);
        }
    }

    /**
     * Returns the next line about connections, such as {@code move 64}.
     *
     * @throws EOFException if the old process has ended
     */
    String readConnectionLine() throws IOException {
        socket.limit(NewProcess.MOVE_TIMEOUT);
        long sinceNanos = System.nanoTime();
        while (true) {
            boolean late = socket.isPastDeadline();
            String line = socket.pollLine();
            if (line != null) {
                return line;
            }
            if (late) {
                throw new SocketTimeoutException("the old process did not respond");
            }
            // Batches follow each other at once, and pause their connections. Otherwise, wait without using the CPU.
            boolean isBusy = System.nanoTime() - sinceNanos < BUSY_NANOS;
            LockSupport.parkNanos(isBusy ? BUSY_POLL_NANOS : POLL_NANOS);
        }
    }

    /** Receives a batch of connections. The old process resumes them unless {@link #commit} returns true. */
    List<MovedConnection> receiveConnections(int expected) throws IOException {
        socket.limit(NewProcess.MOVE_TIMEOUT);
        List<MovedConnection> offered = HandoverFormat.readConnections(socket.input());
        List<Integer> descriptors = MovedConnection.descriptors(offered);
        if (offered.size() != expected) {
            throw new IOException("received " + offered.size() + " connections instead of " + expected);
        }
        int room = UnixSocket.descriptorRoom();
        if (descriptors.size() > room) {
            decline("can open only " + room + " of " + descriptors.size() + " descriptors");
            throw new IOException("can open only " + room + " of " + descriptors.size()
                    + " descriptors; the limit (ulimit -n) is too low");
        }
        socket.writeLine(RECEIVED);
        HandoverFormat.readBuffers(offered, socket.input());
        return MovedConnection.withDescriptors(offered, receiveDescriptors(descriptors.size()));
    }

    /** Reports that the last batch is complete. */
    void continued() throws IOException {
        socket.writeLine(CONTINUED);
    }

    /**
     * Reports that this process is ready to continue the received connections, and returns whether it must.
     *
     * @param rejected numbers of the connections that this process cannot take
     * @throws IOException if the old process resumes the connections
     */
    boolean commit(List<Integer> rejected) throws IOException {
        StringBuilder line = new StringBuilder(READY);
        rejected.forEach(number -> line.append(' ').append(number));
        socket.writeLine(line.toString());
        String answer;
        try {
            answer = socket.readLine();
        } catch (IOException | RuntimeException | Error e) {
            if (e instanceof EOFException || Errno.of(e) == Errno.ECONNRESET) {
                // The old process has ended, and with it its copies of the sockets.
                return true;
            }
            answer = socket.readLastLine();
            log.debug("the old process did not respond in time; it sent '{}'", answer, e);
        }
        return COMMIT.equals(answer);
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
        return offered.withDescriptors(receiveDescriptors(offered.descriptors().size()));
    }

    private List<Integer> receiveDescriptors(int count) throws IOException {
        List<Integer> received = socket.receive(count);
        try {
            // This also fails if more descriptors arrive than were announced.
            expect(END);
            return received;
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
