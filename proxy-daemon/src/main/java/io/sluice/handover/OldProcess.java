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

/** A connection to the old process, as the new one uses it. */
public final class OldProcess extends HandoverChannel {
    private static final Logger log = LoggerFactory.getLogger(OldProcess.class);

    /** For each answer: the old process may have to deal with another, or finish a change, first. */
    private static final Duration LIMIT = Duration.ofSeconds(30);

    private static final long POLL_NANOS = TimeUnit.MILLISECONDS.toNanos(1);

    /** What the old process has. */
    record Offer(int descriptors, int frontends) {}

    /** What became of a hand-over after the new process said that it serves. */
    enum Outcome {
        RELEASED,
        KEPT,
        /** The old process ended, or does not answer. */
        UNKNOWN
    }

    private OldProcess(UnixSocket socket) {
        super(socket);
    }

    /** Whether a process that may hand over answers at this path. */
    public static boolean isServed(Path path) {
        try (OldProcess old = connect(path)) {
            return old != null;
        }
    }

    /** A connection to the process that serves; null if none answers, or one of another user. */
    static @Nullable OldProcess connect(Path path) {
        if (!Files.exists(path)) {
            return null;
        }
        try {
            UnixSocket connected = UnixSocket.connect(path, HELLO_LIMIT);
            int uid = connected.peerUid();
            if (UnixSocket.isTrusted(uid)) {
                return new OldProcess(connected);
            }
            connected.close();
            log.warn(
                    "not taking over from the process at '{}': it runs as user id {}; only root and the own user are trusted",
                    path,
                    uid);
            return null;
        } catch (IOException e) {
            log.info("no process listens at '{}', which an earlier one left behind: {}", path, e.getMessage());
            return null;
        }
    }

    /**
     * Asks a process of version 3 what it has; empty if another process has taken over from it, and is to be asked.
     *
     * @throws EOFException if it closes the connection, as one of version 2 does
     */
    Optional<Offer> ask(String rules) throws IOException {
        socket.writeLine(HELLO + VERSION + " " + ownPid() + " " + rules);
        String answer = await();
        if (answer.equals(TAKEN)) {
            return Optional.empty();
        }
        List<Integer> numbers = numbers(OFFER, answer);
        return Optional.of(new Offer(numbers.get(0), numbers.get(1)));
    }

    /** Says why this process does not accept the offer now. */
    void decline(String reason) throws IOException {
        socket.writeLine(DECLINE + " " + reason);
    }

    /**
     * Accepts an offer, proves that descriptors and state can be received, and receives both.
     *
     * @param frontends how many this process is going to serve
     */
    ForwarderHandover accept(int frontends) throws IOException {
        int room = UnixSocket.descriptorRoom();
        socket.writeLine(ACCEPT + " " + room + " " + frontends);
        ForwarderHandover sample = receive(room);
        UnixSocket.closeAll(sample.descriptors());
        List<Integer> none = sample.descriptors().stream().map(descriptor -> 0).toList();
        if (!sample.withDescriptors(none).equals(HandoverFormat.SAMPLE)) {
            throw new IOException("the sample was received as " + sample);
        }
        socket.writeLine(READY);
        return receive(room);
    }

    /** Asks a process of version 2 for everything. */
    ForwarderHandover takeFromOlder(Path path, String rules) throws IOException {
        Path pipePath = path.toAbsolutePath().resolveSibling(path.getFileName() + "." + ownPid());
        try (UnixListener listening = UnixListener.bind(pipePath)) {
            socket.writeLine(HELLO + OLDER_VERSION + " " + ownPid() + " " + rules + " " + pipePath);
            socket.limit(LIMIT);
            ForwarderHandover offered = HandoverFormat.read(socket.input());
            requireRoom(offered, UnixSocket.descriptorRoom());
            try (UnixSocket accepted = acceptTrusted(listening)) {
                return offered.withDescriptors(
                        accepted.receive(offered.descriptors().size()));
            }
        }
    }

    private static UnixSocket acceptTrusted(UnixListener listening) throws IOException {
        long deadlineNanos = System.nanoTime() + LIMIT.toNanos();
        while (System.nanoTime() - deadlineNanos < 0) {
            UnixSocket accepted = listening.accept(LIMIT);
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
        socket.limit(LIMIT);
        ForwarderHandover offered = HandoverFormat.read(socket.input());
        requireRoom(offered, room);
        socket.writeLine(RECEIVED);
        List<Integer> received = socket.receive(offered.descriptors().size());
        try {
            // Also finds a descriptor too many.
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
            throw new IOException("room for only " + room + " of " + needed + " descriptors");
        }
    }

    /** Says that this process serves, and waits for the other one's decision. */
    Outcome serving() {
        try {
            socket.writeLine(SERVING);
        } catch (IOException e) {
            // It may have decided and closed already; what it said is still to be read.
            log.debug("the process that served has closed the connection", e);
        }
        try {
            String answer = await();
            if (answer.equals(RELEASED)) {
                return Outcome.RELEASED;
            }
            if (answer.equals(KEPT)) {
                return Outcome.KEPT;
            }
            log.warn("the process that served answers '{}'", answer);
        } catch (IOException e) {
            log.info("the process that served does not answer: {}", e.getMessage());
        }
        return Outcome.UNKNOWN;
    }

    private String await() throws IOException {
        socket.limit(LIMIT);
        return socket.readLine();
    }

    private static String ownPid() {
        return String.valueOf(ProcessHandle.current().pid());
    }
}
