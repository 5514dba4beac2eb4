package io.sluice.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;

/** Output and exit code of {@code sluice upgrade} for the responses of a daemon. */
final class UpgradeCommandTest {
    private static final String STATUS = "GET /api/v1/status";
    private static final String START = "POST /api/v1/upgrade?timeout=5m";
    private static final String PROGRESS = "GET /api/v1/upgrade";
    private static final String STARTING = "{\"state\": \"starting\", \"pid\": 12, \"reason\": \"\"}";
    private static final String NEW = "{\"pid\": 12, \"version\": \"0.2.0\", \"handover\": ";

    @TempDir
    private Path directory;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();
    private FakeAdminServer server;

    @BeforeEach
    void start() throws Exception {
        server = FakeAdminServer.onUnixSocket(directory.resolve("s"))
                .on(START, STARTING)
                .on(PROGRESS, STARTING);
    }

    @AfterEach
    void stop() throws Exception {
        server.close();
    }

    private int upgrade(String... args) {
        CommandLine line = Main.commandLine(Map.of(), InputStream.nullInputStream());
        line.setOut(new PrintWriter(out)).setErr(new PrintWriter(err, true));
        List<String> all = new ArrayList<>(List.of("upgrade", "--admin-socket=" + directory.resolve("s")));
        all.addAll(List.of(args));
        return line.execute(all.toArray(String[]::new));
    }

    /** No process has the ID of this old process, so that the command does not wait for its exit. */
    private static String old() {
        return "{\"pid\": " + Integer.MAX_VALUE + ", \"handover\": null}";
    }

    @Test
    void printsOneLineForEachPhase() {
        server.on(STATUS, old(), old()).then(STATUS, 503, "{\"error\": \"between the processes\"}");
        server.then(STATUS, 200, NEW + """
                {"fromPid": 11, "frontends": 3, "flows": 1, "connections": 812, "connectionsLeft": 2,
                 "durationMillis": 312, "receivedAt": "2026-11-30T08:00:00.000Z"}}""");
        assertThat(upgrade()).as(err.toString()).isZero();
        assertThat(out).hasToString("""
                started process 12
                process 12 (0.2.0) serves: received 3 frontends, 1 UDP flow, 812 connections in 0.3 s; 2 connections left in process 2147483647
                """);
    }

    @Test
    void reportsAProcessThatStillDrainsWhenTheTimeoutExpires() {
        String own = "{\"pid\": " + ProcessHandle.current().pid() + "}";
        server.on("POST /api/v1/upgrade?timeout=1s", STARTING).on(STATUS, own, NEW + "null}");
        assertThat(upgrade("--timeout=1s")).isZero();
        assertThat(out.toString())
                .contains("process 12 (0.2.0) serves without the sockets and state of process ", "(cold start)")
                .contains("still has open connections; it exits when they end or its drain timeout expires\n");
    }

    @Test
    void anOlderVersionDoesNotReportWhatItReceived() {
        server.on(STATUS, old(), "{\"pid\": 12, \"version\": \"0.1.0\"}");
        assertThat(upgrade()).isZero();
        assertThat(out.toString()).endsWith("process 12 (0.1.0) serves\n");
    }

    @Test
    void failsWithTheReason() {
        server.on(STATUS, old()).on(PROGRESS, STARTING, """
                        {"state": "failed", "pid": 12, "reason": "process 12 exited with code 2"}""");
        assertThat(upgrade()).isEqualTo(1);
        assertThat(out).hasToString("started process 12\n");
        assertThat(err)
                .hasToString("sluice: upgrade failed: process 12 exited with code 2; process 2147483647 continues to"
                        + " serve\n");
    }

    @Test
    void failsIfAnotherProcessTookOver() {
        server.on(STATUS, old(), "{\"pid\": 13}");
        assertThat(upgrade()).isEqualTo(1);
        assertThat(err.toString()).contains("process 13, which was started by another command, serves");
    }

    @Test
    void failsIfTheDaemonRejectsTheUpgrade() {
        server.on(STATUS, old());
        server.raw(START, "HTTP/1.1 409 X\r\nContent-Length: 31\r\n\r\n{\"error\": \"not in a container\"} ");
        assertThat(upgrade()).isEqualTo(1);
        assertThat(err).hasToString("sluice: not in a container\n");
    }

    @ParameterizedTest
    @ValueSource(strings = {"--timeout=0s", "--timeout=61m", "--timeout=5", "--server=http://127.0.0.1:1", "now"})
    void rejectsInvalidUsageWithoutARequest(String argument) {
        assertThat(upgrade(argument)).isEqualTo(2);
        assertThat(server.requests()).isEmpty();
    }
}
