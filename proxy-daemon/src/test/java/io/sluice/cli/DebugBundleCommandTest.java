package io.sluice.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;

/** {@code sluice debug-bundle} with a daemon that responds, and with one that does not. */
final class DebugBundleCommandTest {
    private static final List<String> LISTS =
            List.of("services", "endpoints", "events", "connections", "flows", "affinity");

    @TempDir
    private Path directory;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();
    private Path archive;

    @BeforeEach
    void chooseFile() {
        archive = directory.resolve("bundle.tar.gz");
    }

    private int sluice(String... args) {
        CommandLine line = Main.commandLine(Map.of(), InputStream.nullInputStream());
        line.setOut(new PrintWriter(out, true)).setErr(new PrintWriter(err, true));
        return line.execute(args);
    }

    private static void respond(FakeAdminServer server, String metricsAddress) {
        for (String each : List.of("status", "log-level", "upgrade", "check")) {
            server.on("GET /api/v1/" + each, "{\"name\": \"" + each + "\"}");
        }
        server.on("GET /api/v1/config", "{\"metricsBindAddress\": \"" + metricsAddress + "\"}");
        for (String each : LISTS) {
            server.on("GET /api/v1/" + each, "{\"items\": [{\"service\": \"shop/" + each + "\"}], \"next\": null}");
        }
    }

    /** Extracts the archive with tar, and returns its directory. */
    private Path extract() throws IOException, InterruptedException {
        Path to = Files.createDirectory(directory.resolve("extracted"));
        DebugBundleCommand.program("tar", "-xzf", archive.toString(), "-C", to.toString());
        return to.resolve("bundle");
    }

    @Test
    void writesAnArchiveThatOnlyItsOwnerCanRead() throws Exception {
        Path socket = directory.resolve("s");
        try (FakeAdminServer server = FakeAdminServer.onUnixSocket(socket);
                FakeAdminServer metrics = FakeAdminServer.onLoopback()) {
            respond(server, metrics.url().replace("http://", ""));
            metrics.on("GET /metrics?timings=service", "sluice_ready 1.0\n");
            assertThat(sluice("debug-bundle", "--admin-socket=" + socket, "--output=" + archive, "--limit=7"))
                    .isZero();
            assertThat(server.requests()).contains("GET /api/v1/connections?limit=7");
        }
        assertThat(out.toString()).startsWith("wrote " + archive + ": ");
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(archive)))
                .isEqualTo("rw-------");
        Path files = extract();
        for (String each : List.of("status", "log-level", "upgrade", "check")) {
            assertThat(files.resolve(each + ".json")).content().contains("\"name\" : \"" + each + "\"");
        }
        for (String each : LISTS) {
            assertThat(files.resolve(each + ".json")).content().contains("shop/" + each);
        }
        assertThat(files.resolve("metrics.txt")).hasContent("sluice_ready 1.0\n");
        assertThat(files.resolve("version.txt")).content().startsWith("sluice ");
        assertThat(files.resolve("kernel.txt")).content().startsWith("Linux version");
        assertThat(files.resolve("collection.txt"))
                .content()
                .contains("status.json: ", "nft.txt: ", "ip-rule.txt: ", "sockets.txt: ", "config.json: ");
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(files.resolve("status.json"))))
                .isEqualTo("rw-------");
    }

    @Test
    void worksIfTheDaemonDoesNotRespond() throws Exception {
        assertThat(sluice("debug-bundle", "--admin-socket=" + directory.resolve("none"), "--output=" + archive))
                .isZero();
        assertThat(err.toString())
                .contains("not collected: status.json: " + directory.resolve("none") + ": does not exist")
                .contains("not collected: services.json: skipped, because Sluice did not respond before");
        Path files = extract();
        assertThat(files.resolve("kernel.txt")).exists();
        assertThat(files.resolve("status.json")).doesNotExist();
        assertThat(files.resolve("collection.txt")).content().contains("status.json: not collected: ");
    }

    @Test
    void writesADirectoryIfTheNameIsNotThatOfAnArchive() throws Exception {
        Path files = directory.resolve("bundle");
        try (FakeAdminServer server = FakeAdminServer.onLoopback()) {
            respond(server, "off");
            assertThat(sluice("debug-bundle", "--server=" + server.url(), "--output=" + files))
                    .isZero();
        }
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(files)))
                .isEqualTo("rwx------");
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(files.resolve("status.json"))))
                .isEqualTo("rw-------");
        assertThat(files.resolve("nft.txt")).as("the kernel of another machine").doesNotExist();
        assertThat(err.toString()).contains("metrics.txt: the metrics and the kernel of the machine behind --server");
    }

    @Test
    void overwritesNothing() throws Exception {
        Files.writeString(archive, "mine");
        assertThat(sluice("debug-bundle", "--output=" + archive)).isEqualTo(2);
        assertThat(err.toString()).contains("--output: '" + archive + "' already exists");
        assertThat(archive).hasContent("mine");
    }

    @Test
    void reportsThatItCannotWrite() {
        Path missing = directory.resolve("missing/bundle.tar.gz");
        assertThat(sluice("debug-bundle", "--admin-socket=" + directory.resolve("none"), "--output=" + missing))
                .isEqualTo(1);
        assertThat(err.toString()).contains("cannot write '" + missing + "'", "set --output");
    }

    @ParameterizedTest
    @CsvSource({
        "127.0.0.1:10249, 127.0.0.1:10249",
        "0.0.0.0:10249, 127.0.0.1:10249",
        "[::]:10249, [::1]:10249",
        "[fd00::1]:10249, [fd00::1]:10249"
    })
    void readsMetricsFromAnAddressThatCanBeReached(String configured, String reachable) {
        assertThat(DebugBundleCommand.reachable(configured)).isEqualTo(reachable);
    }

    @Test
    void reportsTheErrorOfAProgram() {
        DebugBundle bundle = new DebugBundle();
        assertThat(collect(bundle, "sh", "-c", "echo table >&2; echo more >&2; exit 1"))
                .isEqualTo("sh -c echo table >&2; echo more >&2; exit 1: table");
        assertThat(collect(bundle, "no-such-program")).contains("no-such-program");
    }

    private static String collect(DebugBundle bundle, String... command) {
        try {
            bundle.collect("a", () -> DebugBundleCommand.program(command));
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
        return String.valueOf(bundle.failures().get("a"));
    }
}
