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
import java.util.stream.Stream;

/**
 * Connection between the old process, which is serving, and the new process, which replaces it. Protocol version 4:
 *
 * <pre>
 *   new  sluice-hand-over-4 PID RULES     RULES: how the new process redirects packets
 *   old  offer DESCRIPTORS FRONTENDS      numbers of both; or 'taken': already handed over to another process
 *   new  accept ROOM FRONTENDS            ROOM: number of descriptors that it can open; or 'decline REASON'
 *   old  a test message as JSON   new  received      old  two test descriptors, end
 *   old  a test connection        as above
 *   new  ready
 *   old  detaches its sockets
 *   old  its state as JSON     new  received      old  its descriptors, end
 *   new  serving
 *   old  released                         or 'kept': too late, the old process serves again
 *
 *   old  move N                           then, any number of times, a batch of N open TCP connections:
 *   old  the connections as JSON   new  received     old  their buffered bytes, their descriptors, end
 *   new  ready [NUMBER ...]               the connections in the batch that it cannot take
 *   old  commit
 *   new  continued                        the next batch pauses only from now on
 *   old  waiting LEFT                     each second while no connection can be moved
 *   old  done LEFT                        LEFT connections stay in the old process
 * </pre>
 *
 * <p>The messages before {@code ready} are a rehearsal, during which nothing changes for clients. If anything fails
 * between {@code ready} and {@code serving}, the old process resumes serving with its sockets and state. After JSON,
 * the sender waits for {@code received}; otherwise, descriptors would be lost if the receiver read beyond the JSON.
 *
 * <p>A connection is used by exactly one process. Until {@code commit}, the new process does not touch its sockets. If
 * {@code ready} does not arrive in time, the old process calls {@link UnixSocket#readLastLine}: either it finds {@code
 * ready}, or the new process cannot send it any more, and the old process resumes the connections. In the same way, the
 * new process either finds {@code commit} or closes its copies of the sockets. If the old process ends between {@code
 * ready} and {@code commit}, the new process continues the connections.
 *
 * <p>Version 3 ends with {@code released}, and has no test connection. Version 2 has neither offer nor rehearsal: {@code sluice-hand-over-2 PID RULES PIPE}, JSON, descriptors over a
 * second socket {@code PIPE} on which the new process listens, {@code serving}, {@code released}. Instead of sending
 * {@code kept}, the old process closes the connection. Both roles still support these versions, so that upgrades
 * from and rollbacks to an older release can use the handover.
 */
public abstract class HandoverChannel implements AutoCloseable {
    static final String HELLO = "sluice-hand-over-";
    static final int VERSION = 4;
    static final int VERSION_3 = 3;
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
    static final String MOVE = "move";
    static final String COMMIT = "commit";
    static final String CONTINUED = "continued";
    static final String WAITING = "waiting";
    static final String DONE = "done";

    /** Maximum time from connecting until the first line is complete. */
    static final Duration HELLO_TIMEOUT = Duration.ofSeconds(1);

    private static final Pattern NUMBERS = Pattern.compile("(\\w+)((?: \\d{1,9})*)");

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

    /** Returns the numbers in a line that must consist of the expected word and {@code count} numbers. */
    static List<Integer> numbers(String word, int count, String line) throws IOException {
        List<Integer> numbers = numbers(word, line);
        if (numbers.size() != count) {
            throw new IOException("received '" + line + "' instead of '" + word + " N".repeat(count) + "'");
        }
        return numbers;
    }

    /** Returns the numbers in a line that must consist of the expected word and any number of numbers. */
    static List<Integer> numbers(String word, String line) throws IOException {
        Matcher matcher = NUMBERS.matcher(line);
        if (!matcher.matches() || !matcher.group(1).equals(word)) {
            throw new IOException("received '" + line + "' instead of '" + word + "'");
        }
        return Stream.of(matcher.group(2).split(" "))
                .filter(number -> !number.isEmpty())
                .map(Integer::valueOf)
                .toList();
    }

    @Override
    public void close() {
        socket.close();
    }
}
