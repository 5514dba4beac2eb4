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
 * The connection between the process that serves (old) and the one that is to succeed it (new). Version 3:
 *
 * <pre>
 *   new  sluice-hand-over-3 PID RULES     RULES: how it redirects packets
 *   old  offer DESCRIPTORS FRONTENDS      or 'taken': another process has taken over
 *   new  accept ROOM FRONTENDS            or 'decline REASON'
 *   old  a sample as JSON      new  received      old  two test descriptors, end
 *   new  ready
 *   old  detaches its sockets
 *   old  a HandOver as JSON    new  received      old  its descriptors, end
 *   new  serving
 *   old  released                         or 'kept': too late, it serves again
 * </pre>
 *
 * <p>Until {@code ready} nothing changes for clients. From then until {@code serving} the old process takes everything
 * back if anything fails. The sender of JSON waits for {@code received}, because a read beyond it would lose descriptors.
 *
 * <p>Version 2 has neither offer nor rehearsal: {@code sluice-hand-over-2 PID RULES PIPE}, JSON, descriptors over a second
 * socket {@code PIPE} that the new process listens on, {@code serving}, {@code released}; it closes instead of
 * {@code kept}. Both roles still speak it, for an update from an older process and for a rollback to one.
 */
public abstract class HandoverChannel implements AutoCloseable {
    static final String HELLO = "sluice-hand-over-";
    static final int VERSION = 3;
    static final int OLDER_VERSION = 2;

    /** RULES of a process that redirects no packets. */
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

    /** From connecting to the end of the first line. */
    static final Duration HELLO_LIMIT = Duration.ofSeconds(1);

    private static final Pattern NUMBERS = Pattern.compile("(\\w+) (\\d{1,9}) (\\d{1,9})");

    final UnixSocket socket;

    HandoverChannel(UnixSocket socket) {
        this.socket = socket;
    }

    /**
     * Checks that a hand-over socket can be made at this path.
     *
     * @throws IllegalStateException if the path would be too long for a socket, or something else is there, which must
     *     not be replaced
     */
    public static void requireUsable(Path path) {
        int bytes = path.toAbsolutePath().toString().getBytes(StandardCharsets.UTF_8).length;
        if (bytes > UnixListener.LONGEST_PATH_BYTES) {
            throw new IllegalStateException("--handover-socket: " + path.toAbsolutePath() + " is " + bytes
                    + " bytes long; a socket's path may have " + UnixListener.LONGEST_PATH_BYTES + " here");
        }
        try {
            if (Files.exists(path, LinkOption.NOFOLLOW_LINKS) && !UnixListener.isSocket(path)) {
                throw new IllegalStateException("--handover-socket: " + path + " is there already and is no socket");
            }
        } catch (IOException e) {
            throw new IllegalStateException("--handover-socket: " + path + " cannot be looked at: " + e, e);
        }
    }

    void expect(String line) throws IOException {
        String said = socket.readLine();
        if (!said.equals(line)) {
            throw new IOException("received '" + said + "' instead of '" + line + "'");
        }
    }

    /** The two numbers that follow a word. */
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
