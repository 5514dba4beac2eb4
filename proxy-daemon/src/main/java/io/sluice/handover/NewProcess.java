package io.sluice.handover;

import io.netty.channel.unix.Socket;
import io.sluice.forward.ForwarderHandover;
import io.sluice.forward.MovedConnection;
import io.sluice.socket.Errno;
import io.sluice.socket.UnixListener;
import io.sluice.socket.UnixSocket;
import java.io.EOFException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The old process's end of the connection to a new process. */
final class NewProcess extends HandoverChannel {
    private static final Logger log = LoggerFactory.getLogger(NewProcess.class);

    /** Time limit for the rehearsal, and again for the transfer, during which clients wait. */
    private static final Duration TIMEOUT = Duration.ofSeconds(10);

    /** Time limit for a batch of connections, which pause meanwhile. */
    static final Duration MOVE_TIMEOUT = Duration.ofSeconds(5);

    private static final Pattern PID = Pattern.compile("[0-9]{1,10}");

    /** The first line from a new process (hello). */
    record Hello(int version, String pid, String rules, String pipe) {}

    /** Second connection, which carries the descriptors in version 2; null in version 3. */
    private @Nullable UnixSocket pipe;

    private int version = VERSION;
    private boolean movingConnections;

    /** Creates the channel of an accepted connection, whose time limit is {@link #HELLO_TIMEOUT}. */
    NewProcess(UnixSocket socket) {
        super(socket);
    }

    /**
     * Returns the hello, or null if it has not arrived completely.
     *
     * @throws EOFException if the new process has closed the connection
     * @throws IOException if the line is not a hello in a supported version
     */
    @Nullable
    Hello pollHello() throws IOException {
        String line = socket.pollLine();
        if (line == null) {
            return null;
        }
        String[] words = line.split(" ", 4);
        for (int known : List.of(VERSION, VERSION_3)) {
            if (words.length == 3 && words[0].equals(HELLO + known)) {
                version = known;
                return new Hello(known, words[1], words[2], "");
            }
        }
        if (words.length == 4 && words[0].equals(HELLO + VERSION_2)) {
            version = VERSION_2;
            return new Hello(VERSION_2, words[1], words[2], words[3]);
        }
        throw new IOException(
                "received '" + words[0] + "' instead of '" + HELLO + "N' with N from " + VERSION_2 + " to " + VERSION);
    }

    /** Records that this connection is needed until all TCP connections are moved. */
    void moveConnections() {
        movingConnections = true;
    }

    boolean isMovingConnections() {
        return movingConnections;
    }

    /** Returns whether the time limit for the hello has expired. */
    boolean isPastDeadline() {
        return socket.isPastDeadline();
    }

    /** Replies that this process has already handed over to another process. */
    void taken() throws IOException {
        socket.limit(HELLO_TIMEOUT);
        socket.writeLine(TAKEN);
    }

    /**
     * Rehearses the handover with test data before any socket is detached. With version 2, only connects to the pipe.
     *
     * @param path path of the handover socket
     * @throws IOException if the new process fails the rehearsal or takes too long
     */
    void rehearse(Hello hello, Path path, ForwarderHandover.Size size) throws IOException {
        socket.limit(TIMEOUT);
        if (hello.version() == VERSION_2) {
            Path at = pipePath(hello, path);
            pipe = connectTrusted(at);
            // Delete the socket file now: the connection does not need it, and it would remain after a kill.
            Files.deleteIfExists(at);
            return;
        }
        socket.writeLine(OFFER + " " + size.descriptors() + " " + size.frontends());
        String answer = socket.readLine();
        if (answer.startsWith(DECLINE + " ")) {
            throw new IOException("the new process declined: " + answer.substring(DECLINE.length() + 1));
        }
        List<Integer> numbers = numbers(ACCEPT, 2, answer);
        if (numbers.get(0) < size.descriptors()) {
            throw new IOException(
                    "the new process can open only " + numbers.get(0) + " of " + size.descriptors() + " descriptors");
        }
        if (numbers.get(1) == 0 && size.frontends() > 0) {
            throw new IOException("the new process has no Services");
        }
        sendSamples();
        expect(READY);
    }

    private void sendSamples() throws IOException {
        Socket socketToSend = Socket.newSocketDgram();
        try {
            List<Integer> descriptors = List.of(socketToSend.intValue(), socketToSend.intValue());
            send(HandoverFormat.SAMPLE.withDescriptors(descriptors));
            if (version == VERSION) {
                send(MovedConnection.withDescriptors(HandoverFormat.SAMPLE_CONNECTIONS, descriptors));
            }
        } finally {
            socketToSend.close();
        }
    }

    /**
     * Returns the path of the pipe, which must be {@code SOCKET.PID} in the directory of the handover socket and a
     * socket owned by this user. The directory in the hello is ignored.
     */
    private static Path pipePath(Hello hello, Path path) throws IOException {
        Path own = path.toAbsolutePath();
        String name = own.getFileName() + "." + hello.pid();
        if (!PID.matcher(hello.pid()).matches() || !hello.pipe().endsWith("/" + name)) {
            throw new IOException("pipe '" + hello.pipe() + "' is not '" + own + ".PID'");
        }
        Path pipe = own.resolveSibling(name);
        if (!UnixListener.isOwnSocket(pipe)) {
            throw new IOException("pipe '" + pipe + "' is not a socket of this user");
        }
        return pipe;
    }

    private static UnixSocket connectTrusted(Path pipe) throws IOException {
        UnixSocket connected = UnixSocket.connect(pipe, TIMEOUT);
        if (!UnixSocket.isTrusted(connected.peerUid())) {
            connected.close();
            throw new IOException("pipe '" + pipe + "' belongs to another user");
        }
        return connected;
    }

    /** Fails if the new process has closed the connection or sent a line, and is thus no longer waiting. */
    void requireWaiting() throws IOException {
        String line = socket.pollLine();
        if (line != null) {
            throw new IOException("received '" + line + "' before the handover");
        }
    }

    /** Sends the detached sockets and state; returns once the new process has reported that it is serving. */
    void transfer(ForwarderHandover offered) throws IOException {
        socket.limit(TIMEOUT);
        send(offered);
        expect(SERVING);
    }

    private void send(ForwarderHandover offered) throws IOException {
        HandoverFormat.write(offered, socket.output());
        if (pipe != null) {
            pipe.limit(TIMEOUT);
            pipe.send(offered.descriptors());
            return;
        }
        awaitReceived();
        sendDescriptors(offered.descriptors());
    }

    private void send(List<MovedConnection> connections) throws IOException {
        HandoverFormat.write(connections, socket.output());
        awaitReceived();
        HandoverFormat.writeBuffers(connections, socket.output());
        sendDescriptors(MovedConnection.descriptors(connections));
    }

    /** Waits until the new process has received the JSON, because it could read beyond its end. */
    private void awaitReceived() throws IOException {
        String answer = socket.readLine();
        if (answer.startsWith(DECLINE + " ")) {
            throw new IOException("the new process declined: " + answer.substring(DECLINE.length() + 1));
        }
        if (!answer.equals(RECEIVED)) {
            throw new IOException("received '" + answer + "' instead of '" + RECEIVED + "'");
        }
    }

    private void sendDescriptors(List<Integer> descriptors) throws IOException {
        socket.send(descriptors);
        socket.writeLine(END);
    }

    /**
     * Sends connections that this process has released, until the new process is ready to continue them.
     *
     * @return the numbers of the connections that the new process cannot take
     * @throws IOException if the new process is not ready; it does not touch the connections, and no more can be sent
     */
    List<Integer> prepare(List<MovedConnection> connections) throws IOException {
        try {
            socket.limit(MOVE_TIMEOUT);
            socket.writeLine(MOVE + " " + connections.size());
            send(connections);
            return rejected(socket.readLine(), connections.size());
        } catch (IOException | RuntimeException | Error e) {
            String late = socket.readLastLine();
            if (late == null) {
                throw e;
            }
            return rejected(late, connections.size());
        }
    }

    private static List<Integer> rejected(String line, int connections) throws IOException {
        List<Integer> rejected = numbers(READY, line);
        if (rejected.stream().anyMatch(number -> number >= connections)
                || Set.copyOf(rejected).size() < rejected.size()) {
            throw new IOException("received '" + line + "' for " + connections + " connections");
        }
        return rejected;
    }

    /**
     * Tells the new process to continue the connections of the last call of {@link #prepare}. Never waits, because the
     * new process has read everything before.
     *
     * @return false if the new process has closed the connection, and thus does not touch the connections. After any
     *     other failure it continues them when this connection ends
     */
    boolean commit() {
        try {
            socket.limit(MOVE_TIMEOUT);
            socket.writeLine(COMMIT);
        } catch (IOException e) {
            log.debug("cannot send the commit to the new process", e);
            return Errno.of(e) != Errno.EPIPE && Errno.of(e) != Errno.ECONNRESET;
        }
        return true;
    }

    /** Waits until the new process continues the connections of the last batch, and is ready for the next one. */
    void awaitContinued() throws IOException {
        socket.limit(MOVE_TIMEOUT);
        expect(CONTINUED);
    }

    /** Reports how many connections cannot be moved at this time or, if there will be no more, at all. */
    void sendLeft(int left, boolean done) throws IOException {
        socket.limit(MOVE_TIMEOUT);
        socket.writeLine((done ? DONE : WAITING) + " " + left);
    }

    /** Replies that this process has released everything, or else that it has resumed serving. */
    void sendDecision(boolean released) {
        try {
            socket.limit(HELLO_TIMEOUT);
            if (released) {
                socket.writeLine(RELEASED);
            } else if (version != VERSION_2) {
                socket.writeLine(KEPT);
            }
        } catch (IOException e) {
            log.debug("cannot send the final reply to the new process, which may have stopped waiting", e);
        }
    }

    @Override
    public void close() {
        if (pipe != null) {
            pipe.close();
        }
        super.close();
    }
}
