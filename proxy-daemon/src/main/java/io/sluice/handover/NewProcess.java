package io.sluice.handover;

import io.netty.channel.unix.Socket;
import io.sluice.forward.ForwarderHandover;
import io.sluice.socket.UnixListener;
import io.sluice.socket.UnixSocket;
import java.io.EOFException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A connection from a new process, as the old one uses it. */
final class NewProcess extends HandoverChannel {
    private static final Logger log = LoggerFactory.getLogger(NewProcess.class);

    /** Once for the proof, and once for the hand-over itself, during which clients wait. */
    private static final Duration LIMIT = Duration.ofSeconds(10);

    private static final Pattern PID = Pattern.compile("[0-9]{1,10}");

    /** The first line of a new process. */
    record Hello(int version, String pid, String rules, String pipe) {}

    /** Carries the descriptors of version 2. */
    private @Nullable UnixSocket pipe;

    private int version = VERSION;

    /** To be told within {@link #HELLO_LIMIT}. */
    NewProcess(UnixSocket socket) {
        super(socket);
    }

    /**
     * The hello, if all of it has arrived.
     *
     * @throws EOFException if the other side has closed the connection
     * @throws IOException if it is not a hello of a version that is spoken here
     */
    @Nullable
    Hello pollHello() throws IOException {
        String line = socket.pollLine();
        if (line == null) {
            return null;
        }
        String[] words = line.split(" ", 4);
        if (words.length == 3 && words[0].equals(HELLO + VERSION)) {
            version = VERSION;
            return new Hello(VERSION, words[1], words[2], "");
        }
        if (words.length == 4 && words[0].equals(HELLO + OLDER_VERSION)) {
            version = OLDER_VERSION;
            return new Hello(OLDER_VERSION, words[1], words[2], words[3]);
        }
        throw new IOException(
                "received '" + words[0] + "' instead of '" + HELLO + VERSION + "' or '" + HELLO + OLDER_VERSION + "'");
    }

    /** Whether the time for the hello is over. */
    boolean isLate() {
        return socket.isLate();
    }

    /** Says that this process no longer has anything to hand over. */
    void taken() throws IOException {
        socket.limit(HELLO_LIMIT);
        socket.writeLine(TAKEN);
    }

    /**
     * Has the new process prove that it can take over. Nothing may be detached before this returns.
     *
     * @param path of the socket that this process listens on
     * @throws IOException if it cannot, or takes too long
     */
    void prove(Hello hello, Path path, ForwarderHandover.Size size) throws IOException {
        socket.limit(LIMIT);
        if (hello.version() == OLDER_VERSION) {
            Path at = pipePath(hello, path);
            pipe = connectTrusted(at);
            // Connected, it needs no file, and a process that is killed would leave it there.
            Files.deleteIfExists(at);
            return;
        }
        socket.writeLine(OFFER + " " + size.descriptors() + " " + size.frontends());
        String answer = socket.readLine();
        if (answer.startsWith(DECLINE + " ")) {
            throw new IOException("the new process declined: " + answer.substring(DECLINE.length() + 1));
        }
        List<Integer> numbers = numbers(ACCEPT, answer);
        if (numbers.get(0) < size.descriptors()) {
            throw new IOException("the new process has room for only " + numbers.get(0) + " of " + size.descriptors()
                    + " descriptors");
        }
        if (numbers.get(1) == 0 && size.frontends() > 0) {
            throw new IOException("the new process has nothing to serve");
        }
        sendSample();
        expect(READY);
    }

    private void sendSample() throws IOException {
        Socket socketToSend = Socket.newSocketDgram();
        try {
            int descriptor = socketToSend.intValue();
            send(HandoverFormat.SAMPLE.withDescriptors(List.of(descriptor, descriptor)));
        } finally {
            socketToSend.close();
        }
    }

    /** Whatever directory a hello names: only {@code <our socket>.PID} beside our socket, and only a socket of this user. */
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
        UnixSocket connected = UnixSocket.connect(pipe, LIMIT);
        if (!UnixSocket.isTrusted(connected.peerUid())) {
            connected.close();
            throw new IOException("pipe '" + pipe + "' belongs to another user");
        }
        return connected;
    }

    /** Fails if the new process no longer waits: it has closed the connection, or says something. */
    void requireWaiting() throws IOException {
        String line = socket.pollLine();
        if (line != null) {
            throw new IOException("received '" + line + "' while the new process should wait");
        }
    }

    /** Hands over what was detached; returns once the new process serves. */
    void give(ForwarderHandover offered) throws IOException {
        socket.limit(LIMIT);
        send(offered);
        expect(SERVING);
    }

    private void send(ForwarderHandover offered) throws IOException {
        HandoverFormat.write(offered, socket.output());
        if (pipe != null) {
            pipe.limit(LIMIT);
            pipe.send(offered.descriptors());
            return;
        }
        expect(RECEIVED);
        socket.send(offered.descriptors());
        socket.writeLine(END);
    }

    /** Tells the new process whether it serves alone from now on, or this one goes on. */
    void decide(boolean released) {
        try {
            socket.limit(HELLO_LIMIT);
            if (released) {
                socket.writeLine(RELEASED);
            } else if (version != OLDER_VERSION) {
                socket.writeLine(KEPT);
            }
        } catch (IOException e) {
            log.debug("the new process does not wait for the decision", e);
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
