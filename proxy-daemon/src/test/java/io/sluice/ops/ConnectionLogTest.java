package io.sluice.ops;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.prometheus.metrics.model.snapshots.CounterSnapshot;
import io.sluice.forward.EndedConnection;
import io.sluice.forward.EndedConnection.End;
import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
import io.sluice.thread.Supervisor;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.Pipe;
import java.nio.channels.WritableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.slf4j.LoggerFactory;
import tools.jackson.databind.json.JsonMapper;

/** The format of the connection log, its rotation, and what happens if it cannot be written. */
final class ConnectionLogTest {
    private static final Clock CLOCK = Clock.fixed(Instant.parse("2026-01-31T12:00:00Z"), ZoneOffset.UTC);
    /** Close to an overflow, which must not matter. */
    private static final long START = Long.MAX_VALUE - 5;

    private static final long SECOND = TimeUnit.SECONDS.toNanos(1);

    private final ListAppender<ILoggingEvent> appender = new ListAppender<>();
    private final Logger logger = (Logger) LoggerFactory.getLogger(ConnectionLog.class);

    @TempDir
    private Path directory;

    @BeforeEach
    void listen() {
        logger.setLevel(Level.INFO);
        appender.start();
        logger.addAppender(appender);
    }

    @AfterEach
    void stop() {
        logger.detachAppender(appender);
    }

    private List<String> logged() {
        return List.copyOf(appender.list).stream()
                .map(event -> event.getLevel() + " " + event.getFormattedMessage())
                .toList();
    }

    private Path file() {
        return directory.resolve("connections.log");
    }

    private static IpAddress ip(String address) {
        return Objects.requireNonNull(IpAddress.parse(address));
    }

    private static EndedConnection connection(int clientPort) {
        return connection(clientPort, new Endpoint(ip("192.0.2.4"), 8080), 200_400, End.CLIENT_CLOSED);
    }

    private static EndedConnection connection(int clientPort, @Nullable Endpoint endpoint, long connectNanos, End end) {
        return new EndedConnection(
                new ServicePortName("shop", "web", "http", Protocol.TCP),
                new FrontendAddress(Protocol.TCP, ip("198.18.0.1"), 80),
                ip("2001:db8::9"),
                clientPort,
                endpoint,
                120,
                5_000_000_000L,
                12_512_000_999L,
                connectNanos,
                endpoint == null ? 0 : 1,
                end);
    }

    private static List<Integer> clientPorts(String text) {
        return text.lines()
                .map(line -> JsonMapper.shared().readTree(line).at("/client").stringValue())
                .map(client -> Integer.valueOf(client.substring(client.lastIndexOf(':') + 1)))
                .toList();
    }

    private static List<Integer> clientPorts(Path file) throws IOException {
        return clientPorts(Files.readString(file));
    }

    @Test
    void writesOneJsonObjectPerConnection() throws Exception {
        try (ConnectionLog log = ConnectionLog.open(file(), CLOCK, START)) {
            log.accept(connection(51234));
            log.accept(connection(1, null, -1, End.HALF_CLOSED_TIMEOUT));
            log.write(START);
        }
        assertThat(Files.readString(file()))
                .isEqualTo("{\"time\":\"2026-01-31T12:00:00.000Z\",\"service\":\"shop/web:http\","
                        + "\"frontend\":\"198.18.0.1:80/tcp\",\"client\":\"[2001:db8::9]:51234\","
                        + "\"endpoint\":\"192.0.2.4:8080\",\"bytesToEndpoint\":120,\"bytesToClient\":5000000000,"
                        + "\"durationSeconds\":12.512000,\"connectSeconds\":0.000200,\"tries\":1,"
                        + "\"end\":\"client-closed\"}\n"
                        + "{\"time\":\"2026-01-31T12:00:00.000Z\",\"service\":\"shop/web:http\","
                        + "\"frontend\":\"198.18.0.1:80/tcp\",\"client\":\"[2001:db8::9]:1\",\"endpoint\":null,"
                        + "\"bytesToEndpoint\":120,\"bytesToClient\":5000000000,\"durationSeconds\":12.512000,"
                        + "\"connectSeconds\":null,\"tries\":0,\"end\":\"half-closed-timeout\"}\n");
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file())))
                .isEqualTo("rw-r-----");
    }

    @Test
    void appendsToAnExistingFileAndKeepsItsMode() throws Exception {
        Files.writeString(file(), "{\"client\":\"192.0.2.1:7\"}\n");
        Files.setPosixFilePermissions(file(), PosixFilePermissions.fromString("rw-------"));
        try (ConnectionLog log = ConnectionLog.open(file(), CLOCK, START)) {
            log.accept(connection(8));
        }
        assertThat(clientPorts(file())).containsExactly(7, 8);
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file())))
                .isEqualTo("rw-------");
    }

    @Test
    void writesManyBatchesInOrder() throws Exception {
        List<Integer> expected = new ArrayList<>();
        try (ConnectionLog log = ConnectionLog.open(file(), CLOCK, START)) {
            for (int port = 1; port <= 5_000; port++) {
                log.accept(connection(port));
                expected.add(port);
            }
            log.write(START);
            assertThat(clientPorts(file())).isEqualTo(expected);
        }
    }

    @Test
    void followsLogrotate() throws Exception {
        try (ConnectionLog log = ConnectionLog.open(file(), CLOCK, START)) {
            log.accept(connection(1));
            log.write(START);
            Path rotated = Files.move(file(), directory.resolve("connections.log.1"));
            log.accept(connection(2));
            log.write(START + 1);
            assertThat(clientPorts(rotated)).as("before the next check").containsExactly(1, 2);
            log.write(START + SECOND);
            assertThat(file()).as("opened without a line to write").isEmptyFile();
            log.accept(connection(3));
            log.write(START + SECOND);
            assertThat(clientPorts(file())).containsExactly(3);
            Files.delete(file());
            log.accept(connection(4));
            log.write(START + 2 * SECOND);
            assertThat(clientPorts(file())).containsExactly(4);
            Files.write(file(), new byte[0]);
            log.accept(connection(5));
            log.write(START + 3 * SECOND);
            assertThat(clientPorts(file())).as("truncated").containsExactly(5);
            assertThat(log.dropped()).isZero();
        }
    }

    @Test
    void dropsLinesWhileTheFileCannotBeWritten() throws Exception {
        try (ConnectionLog log = ConnectionLog.open(file(), CLOCK, START)) {
            Files.delete(file());
            Files.createDirectory(file());
            log.accept(connection(1));
            log.write(START + SECOND);
            log.report();
            log.accept(connection(2));
            log.write(START + SECOND + 1);
            log.report();
            assertThat(log.dropped()).isEqualTo(2);
            assertThat(logged())
                    .containsExactly("WARN cannot write the connection log '" + file()
                            + "': not a regular file; use a file, or - for stdout; dropping lines");
            Files.delete(file());
            log.accept(connection(3));
            log.write(START + 2 * SECOND);
            log.report();
            assertThat(clientPorts(file())).containsExactly(3);
            assertThat(logged())
                    .last()
                    .isEqualTo("INFO writing the connection log '" + file() + "' again; 2 lines were dropped");
            assertThat(logged()).hasSize(2);
        }
    }

    /** A channel with room for a number of bytes, like a full disk. */
    private static final class FullDisk implements WritableByteChannel {
        final ByteArrayOutputStream written = new ByteArrayOutputStream();
        int room;

        @Override
        public int write(ByteBuffer bytes) throws IOException {
            if (room == 0) {
                throw new IOException("No space left on device");
            }
            byte[] part = new byte[Math.min(room, bytes.remaining())];
            bytes.get(part);
            written.write(part, 0, part.length);
            room -= part.length;
            return part.length;
        }

        @Override
        public boolean isOpen() {
            return true;
        }

        @Override
        public void close() {}
    }

    @Test
    void countsOnlyLinesThatAreIncompleteOnAFullDisk() {
        FullDisk disk = new FullDisk();
        try (ConnectionLog log = new ConnectionLog(new LogFile(disk), CLOCK, START)) {
            disk.room = 600;
            for (int port = 1; port <= 5; port++) {
                log.accept(connection(port));
            }
            log.write(START);
            log.report();
            assertThat(log.dropped()).isEqualTo(3);
            disk.room = 100_000;
            log.accept(connection(6));
            log.write(START + SECOND);
            log.report();
            List<String> lines =
                    disk.written.toString(StandardCharsets.UTF_8).lines().toList();
            assertThat(lines).hasSize(4);
            assertThat(clientPorts(lines.get(0) + "\n" + lines.get(1) + "\n" + lines.get(3)))
                    .containsExactly(1, 2, 6);
            assertThat(lines.get(3)).startsWith("{").endsWith("}");
            assertThat(logged())
                    .containsExactly(
                            "WARN cannot write the connection log stdout: No space left on device; dropping lines",
                            "INFO writing the connection log stdout again; 3 lines were dropped");
        }
    }

    @Test
    void reportsAFailureThatEndedBeforeTheReport() {
        FullDisk disk = new FullDisk();
        try (ConnectionLog log = new ConnectionLog(new LogFile(disk), CLOCK, START)) {
            log.accept(connection(1));
            log.write(START);
            disk.room = 100_000;
            log.accept(connection(2));
            log.write(START + SECOND);
            log.report();
            log.report();
            assertThat(logged())
                    .containsExactly(
                            "WARN cannot write the connection log stdout: No space left on device; dropping lines",
                            "INFO writing the connection log stdout again; 1 line was dropped");
        }
    }

    @Test
    void dropsAndCountsWhatDoesNotFitIntoTheQueue() throws Exception {
        PrometheusRegistry registry = new PrometheusRegistry();
        try (ConnectionLog log = ConnectionLog.open(file(), CLOCK, START)) {
            log.register(registry);
            EndedConnection connection = connection(1);
            for (int i = 0; i < ConnectionLog.CAPACITY + 7; i++) {
                log.accept(connection);
            }
            assertThat(log.dropped()).isEqualTo(7);
            log.report();
            log.accept(connection);
            log.report();
            log.write(START);
            log.accept(connection(2));
            log.write(START);
            log.report();
            assertThat(logged())
                    .containsExactly(
                            "WARN cannot write the connection log '" + file()
                                    + "': connections end faster than they can be written; dropping lines",
                            "INFO writing the connection log '" + file() + "' again; 8 lines were dropped");
            assertThat(clientPorts(file())).hasSize(ConnectionLog.CAPACITY + 1).endsWith(1, 2);
        }
        CounterSnapshot metric = (CounterSnapshot) registry.scrape().get(0);
        assertThat(metric.getMetadata().getPrometheusName()).isEqualTo("sluice_connection_log_dropped");
        assertThat(metric.getDataPoints().get(0).getValue()).isEqualTo(8);
    }

    @Test
    void writesOrCountsEachConnectionOfSeveralLoops() throws Exception {
        Supervisor supervisor = new Supervisor();
        ConnectionLog log = ConnectionLog.open(file(), CLOCK);
        log.start(supervisor);
        List<CompletableFuture<Integer>> loops = new ArrayList<>();
        for (int loop = 0; loop < 4; loop++) {
            loops.add(Supervisor.call("loop-" + loop, () -> {
                for (int i = 1; i <= 30_000; i++) {
                    log.accept(connection(i));
                }
                return 30_000;
            }));
        }
        int sent = 0;
        for (CompletableFuture<Integer> loop : loops) {
            sent += loop.get();
        }
        log.close();
        assertThat(clientPorts(file())).hasSize(sent - (int) log.dropped()).isNotEmpty();
        assertThat(supervisor.failures()).isEmpty();
    }

    @Test
    void writesWithinAMomentAndFlushesOnClose() throws Exception {
        ConnectionLog log = ConnectionLog.open(file(), CLOCK);
        log.start(new Supervisor());
        log.accept(connection(1));
        await().until(() -> clientPorts(file()).equals(List.of(1)));
        log.accept(connection(2));
        log.close();
        assertThat(clientPorts(file())).containsExactly(1, 2);
        log.accept(connection(3));
        assertThat(log.dropped()).isEqualTo(1);
    }

    @Test
    void neitherBlocksNorDelaysTheExitIfAPipeIsNotRead() throws Exception {
        Pipe pipe = Pipe.open();
        ConnectionLog log = new ConnectionLog(new LogFile(pipe.sink()), CLOCK, System.nanoTime());
        Supervisor supervisor = new Supervisor();
        log.start(supervisor);
        EndedConnection connection = connection(1);
        while (log.dropped() == 0) {
            log.accept(connection);
        }
        await().untilAsserted(
                        () -> assertThat(logged()).hasSize(1).first().asString().startsWith("WARN"));
        long before = System.nanoTime();
        log.close();
        assertThat(Duration.ofNanos(System.nanoTime() - before)).isLessThan(Duration.ofSeconds(10));
        assertThat(logged()).last().asString().startsWith("WARN cannot write the connection log stdout within 2 s; ");
        pipe.sink().close();
        pipe.source().close();
    }

    @Test
    void namesAPathThatCannotBeOpened() throws Exception {
        Path missing = directory.resolve("missing/connections.log");
        assertThatThrownBy(() -> ConnectionLog.requireWritable(missing))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("cannot open '" + missing + "': No such file or directory");
        assertThatThrownBy(() -> ConnectionLog.open(directory, CLOCK))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("connection log: cannot open '" + directory
                        + "': not a regular file; use a file, or - for stdout");
        Path fifo = directory.resolve("fifo");
        assertThat(new ProcessBuilder("mkfifo", fifo.toString()).start().waitFor())
                .isZero();
        assertThatThrownBy(() -> ConnectionLog.requireWritable(fifo)).hasMessageContaining("not a regular file");
        ConnectionLog.requireWritable(file());
        assertThat(file()).isEmptyFile();
    }
}
