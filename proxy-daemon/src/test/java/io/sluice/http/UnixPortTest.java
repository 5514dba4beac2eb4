package io.sluice.http;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;
import static org.awaitility.Awaitility.await;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import io.sluice.thread.Supervisor;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.slf4j.LoggerFactory;

/** HTTP on a Unix socket: access, the socket file, and other processes at the same path. */
@Timeout(60)
final class UnixPortTest {
    private static final String OTHER_UID = "65534";
    private static final String REQUEST = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

    @TempDir
    private Path directory;

    private final HttpServer server = new HttpServer(new Supervisor(), 16);
    private final HttpServer otherProcess = new HttpServer(new Supervisor(), 16);
    private final ListAppender<ILoggingEvent> logged = new ListAppender<>();

    @BeforeEach
    void captureLog() {
        logged.start();
        logger(HttpPort.class).addAppender(logged);
        logger(HttpPort.class).setLevel(Level.INFO);
        logger(UnixAccess.class).addAppender(logged);
        logger(UnixAccess.class).setLevel(Level.DEBUG);
    }

    @AfterEach
    void close() {
        logger(HttpPort.class).detachAppender(logged);
        logger(HttpPort.class).setLevel(null);
        logger(UnixAccess.class).detachAppender(logged);
        logger(UnixAccess.class).setLevel(null);
        server.close();
        otherProcess.close();
    }

    private static Logger logger(Class<?> of) {
        return (Logger) LoggerFactory.getLogger(of);
    }

    private Path path() {
        return directory.resolve("admin.sock");
    }

    private HttpPort port(HttpServer of, Path path, String body) {
        Routes routes = new Routes(Map.of("/a", query -> Page.quick(() -> Response.text(200, body))));
        return new HttpPort(of, "test", UnixDomainSocketAddress.of(path), routes, Duration.ofMillis(20), true);
    }

    private HttpPort started(HttpServer of, String body) {
        HttpPort port = port(of, path(), body);
        port.start();
        return port;
    }

    private List<String> names() throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }

    private List<String> log(Level level) {
        return List.copyOf(logged.list).stream()
                .filter(event -> event.getLevel() == level)
                .map(ILoggingEvent::getFormattedMessage)
                .toList();
    }

    private String get() throws IOException {
        try (SocketChannel client = connect()) {
            client.write(ByteBuffer.wrap("GET /a HTTP/1.0\r\n\r\n".getBytes(UTF_8)));
            return rest(client);
        }
    }

    private SocketChannel connect() throws IOException {
        return SocketChannel.open(UnixDomainSocketAddress.of(path()));
    }

    private static String rest(SocketChannel client) throws IOException {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        ByteBuffer buffer = ByteBuffer.allocate(4096);
        while (client.read(buffer) >= 0) {
            all.write(buffer.array(), 0, buffer.position());
            buffer.clear();
        }
        return all.toString(UTF_8);
    }

    /** Leaves a socket file on which no process listens. */
    private static void listenAndClose(Path path) throws IOException {
        try (ServerSocketChannel other = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            other.bind(UnixDomainSocketAddress.of(path));
        }
    }

    @Test
    void servesOnAFileThatOnlyItsUserCanOpenAndRemovesIt() throws Exception {
        HttpPort port = started(server, "a");
        assertThat(port.isOpen()).isTrue();
        assertThat(port.address()).isEmpty();
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(path())))
                .isEqualTo("rw-------");
        assertThat(names()).containsExactly("admin.sock");
        assertThat(get()).startsWith("HTTP/1.1 200 OK\r\n").endsWith("\r\n\r\na");
        assertThat(log(Level.INFO)).containsExactly("serving test on Unix socket '" + path() + "'");
        port.close();
        assertThat(port.isOpen()).isFalse();
        assertThat(names()).isEmpty();
        port.start();
        assertThat(names()).as("a closed port stays closed").isEmpty();
    }

    @Test
    void respondsToPipelinedRequestsAndToAClientThatHasClosedItsSide() throws Exception {
        started(server, "a");
        try (SocketChannel client = connect()) {
            client.write(ByteBuffer.wrap((REQUEST.repeat(3) + "GET /a HTTP/1.0\r\n\r\n").getBytes(UTF_8)));
            assertThat(rest(client).split("HTTP/1\\.1 200 OK", -1)).hasSize(5);
        }
        try (SocketChannel client = connect()) {
            client.write(ByteBuffer.wrap(REQUEST.getBytes(UTF_8)));
            client.shutdownOutput();
            assertThat(rest(client)).endsWith("\r\n\r\na");
        }
    }

    @Test
    void closingTheServerRemovesTheFile() throws Exception {
        started(server, "a");
        server.close();
        assertThat(names()).isEmpty();
    }

    @Test
    void releasesAllDescriptors() throws Exception {
        started(server, "warm-up").close();
        int before = descriptors();
        for (int i = 0; i < 20; i++) {
            HttpPort port = started(server, "a");
            assertThat(get()).endsWith("a");
            port.close();
        }
        await().until(() -> descriptors() <= before);
    }

    private static int descriptors() throws IOException {
        try (Stream<Path> open = Files.list(Path.of("/proc/self/fd"))) {
            return (int) open.count();
        }
    }

    @Test
    void replacesASocketThatADeadProcessLeftBehind() throws Exception {
        listenAndClose(path());
        started(server, "a");
        assertThat(get()).endsWith("a");
    }

    @Test
    void waitsWhileAnotherProcessListens() throws Exception {
        HttpPort first = started(otherProcess, "first");
        HttpPort second = started(server, "second");
        assertThat(second.isOpen()).isFalse();
        assertThat(get()).endsWith("first");
        first.close();
        await().until(second::isOpen);
        assertThat(get()).endsWith("second");
        assertThat(log(Level.WARN))
                .containsExactly("cannot serve test on Unix socket '" + path()
                        + "': another process listens on it; retrying every 0 s");
    }

    @Test
    void keepsASocketOfAnotherProcessThatReplacedItsOwn() throws Exception {
        HttpPort port = started(server, "a");
        Path other = directory.resolve("other");
        listenAndClose(other);
        Files.move(other, path(), StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
        port.close();
        assertThat(names()).containsExactly("admin.sock");
    }

    @Test
    void warnsOnceAboutAMissingDirectoryAndOpensOnceItExists() throws Exception {
        Path missing = directory.resolve("missing");
        HttpPort port = port(server, missing.resolve("admin.sock"), "a");
        port.start();
        port.start();
        assertThat(log(Level.WARN))
                .containsExactly("cannot serve test on Unix socket '" + missing + "/admin.sock': directory '" + missing
                        + "' does not exist; retrying every 0 s");
        Files.createDirectory(missing);
        await().until(port::isOpen);
    }

    @Test
    void keepsAFileThatIsNotASocket() throws Exception {
        Files.writeString(path(), "content");
        HttpPort port = started(server, "a");
        assertThat(log(Level.WARN)).singleElement().asString().contains("exists and is not a socket");
        assertThat(path()).hasContent("content");
        port.close();
        assertThat(path()).hasContent("content");
    }

    @Test
    void rejectsAPathThatIsTooLong() {
        port(server, directory.resolve("x".repeat(99)), "a").start();
        assertThat(log(Level.WARN)).singleElement().asString().contains("must not exceed 98 bytes");
    }

    @Test
    void closesConnectionsOfOtherUsers() throws Exception {
        assumeThat(Files.getAttribute(directory, "unix:uid"))
                .as("needs root, to start a process of another user")
                .isEqualTo(0);
        Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwx--x--x"));
        started(server, "a");
        assertThat(getAsOtherUser()).as("the socket's mode").isNotZero();
        assertThat(log(Level.DEBUG)).isEmpty();
        Files.setPosixFilePermissions(path(), PosixFilePermissions.fromString("rwxrwxrwx"));
        assertThat(getAsOtherUser()).as("the check of the user ID").isNotZero();
        assertThat(log(Level.DEBUG))
                .singleElement()
                .asString()
                .startsWith("closing a connection of user ID " + OTHER_UID + ";");
        assertThat(get()).endsWith("a");
    }

    private int getAsOtherUser() throws Exception {
        return new ProcessBuilder(
                        "setpriv",
                        "--reuid=" + OTHER_UID,
                        "--regid=" + OTHER_UID,
                        "--clear-groups",
                        "curl",
                        "--silent",
                        "--fail",
                        "--unix-socket",
                        path().toString(),
                        "http://sluice/a")
                .start()
                .waitFor();
    }
}
