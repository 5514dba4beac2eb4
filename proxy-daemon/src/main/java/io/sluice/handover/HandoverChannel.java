package io.sluice.handover;

import io.sluice.socket.UnixListener;
import io.sluice.socket.UnixSocket;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Connection between the old process, which is serving, and the new process, which replaces it. Protocol version 3:
 *
 * <pre>
 *   new  sluice-hand-over-3 PID RULES     RULES: how the new process redirects packets
 *   old  offer DESCRIPTORS FRONTENDS      numbers of both; or 'taken': already handed over to another process
 *   new  accept ROOM FRONTENDS            ROOM: number of descriptors that it can open; or 'decline REASON'
 *   old  a test message as JSON   new  received      old  two test descriptors, end
 *   new  ready
 *   old  detaches its sockets
 *   old  its state as JSON     new  received      old  its descriptors, end
 *   new  serving
 *   old  released                         or 'kept': too late, the old process serves again
 * </pre>
 *
 * <p>The messages before {@code ready} are a rehearsal, during which nothing changes for clients. If anything fails
 * between {@code ready} and {@code serving}, the old process resumes serving with its sockets and state. After JSON,
 * the sender waits for {@code received}; otherwise, descriptors would be lost if the receiver read beyond the JSON.
 *
 * <p>Version 2 has neither offer nor rehearsal: {@code sluice-hand-over-2 PID RULES PIPE}, JSON, descriptors over a
 * second socket {@code PIPE} on which the new process listens, {@code serving}, {@code released}. Instead of sending
 * {@code kept}, the old process closes the connection. Both roles still support version 2, so that upgrades from and
 * rollbacks to an older release can use the handover.
 */
public abstract class HandoverChannel implements AutoCloseable {
    static final String HELLO = "sluice-hand-over-";
    static final int VERSION = 3;
    static final int VERSION_2 = 2;

    /** Value of RULES for a process that redirects no packets. */
    public static final String NO_RULES = "none";

    static final String OFFER = "offer";
    static final String TAKEN = "taken";
    static final String ACCEPT = "accept";
    static final String DECLINE = "decline";
    static final String RECEIVED = "received";
    static final String END = "end";
    static final String READY = "ready";
    static final String SERVING = "serving";
    static final String RELEASED = "released";
    static final String KEPT = "kept";

    /** Maximum time from connecting until the first line is complete. */
    static final Duration HELLO_TIMEOUT = Duration.ofSeconds(1);

    private static final Pattern NUMBERS = Pattern.compile("(\\w+) (\\d{1,9}) (\\d{1,9})");

    final UnixSocket socket;

    HandoverChannel(UnixSocket socket) {
        this.socket = socket;
    }

    /**
     * Checks that a handover socket can be created at this path.
     *
     * @throws IllegalStateException if the path is too long for a Unix socket, or a file exists there that is not a
     *     socket or cannot be checked
     */
    public static void requireUsable(Path path) {
        int bytes = path.toAbsolutePath().toString().getBytes(StandardCharsets.UTF_8).length;
        if (bytes > UnixListener.MAX_PATH_BYTES) {
            throw new IllegalStateException("--handover-socket: '" + path.toAbsolutePath() + "' is " + bytes
                    + " bytes long; the path of a Unix socket must not exceed " + UnixListener.MAX_PATH_BYTES
                    + " bytes");
        }
        try {
            if (Files.exists(path, LinkOption.NOFOLLOW_LINKS) && !UnixListener.isSocket(path)) {
                throw new IllegalStateException("--handover-socket: '" + path + "' exists and is not a socket");
            }
        } catch (IOException e) {
            throw new IllegalStateException("--handover-socket: cannot read the attributes of '" + path + "': " + e, e);
        }
    }

    void expect(String line) throws IOException {
        String received = socket.readLine();
        if (!received.equals(line)) {
            throw new IOException("received '" + received + "' instead of '" + line + "'");
        }
    }

    /** Returns the two numbers in a line that must consist of the expected word and two numbers. */
    static List<Integer> numbers(String word, String line) throws IOException {
        Matcher matcher = NUMBERS.matcher(line);
        if (!matcher.matches() || !matcher.group(1).equals(word)) {
            throw new IOException("received '" + line + "' instead of '" + word + " N N'");
        }
        return List.of(Integer.parseInt(matcher.group(2)), Integer.parseInt(matcher.group(3)));
    }

    @Override
    public void close() {
        socket.close();
    }
}
