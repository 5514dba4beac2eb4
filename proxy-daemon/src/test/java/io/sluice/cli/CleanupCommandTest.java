package io.sluice.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.node.RuleOptions;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;

/** Output and exit codes of {@code sluice cleanup}, without the rules of this machine. */
final class CleanupCommandTest {
    @TempDir
    private Path directory;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();
    private final List<RuleOptions> cleaned = new ArrayList<>();
    private CleanupCommand.RuleRemoval rules = options -> {
        cleaned.add(options);
        return List.of("table");
    };

    private int cleanup(String... more) {
        CommandLine line = Main.commandLine(Map.of(), InputStream.nullInputStream());
        line.setOut(new PrintWriter(out)).setErr(new PrintWriter(err, true));
        CommandLine command = Objects.requireNonNull(line.getSubcommands().get("cleanup"));
        ((CleanupCommand) command.getCommand()).setRuleRemoval(rules);
        List<String> args = new ArrayList<>(List.of(
                "cleanup",
                "--socket-lb-pins=" + directory.resolve("pins"),
                "--admin-socket=" + directory.resolve("admin"),
                "--handover-socket=" + directory.resolve("handover")));
        args.addAll(List.of(more));
        return line.execute(args.toArray(String[]::new));
    }

    @BeforeEach
    void leavePins() throws IOException {
        Files.createDirectories(directory.resolve("pins/links"));
        Files.createFile(directory.resolve("pins/links/connect4"));
    }

    @Test
    void removesPinsAndRules() {
        assertThat(cleanup("--mark-bit=13")).isZero();
        assertThat(out)
                .hasToString(
                        "removed: pinned programs and maps in " + directory.resolve("pins") + "\nremoved: table\n");
        assertThat(directory.resolve("pins")).doesNotExist();
        assertThat(cleaned).containsExactly(new RuleOptions(13, 19_019, 119, false, 30, 120));
        assertThat(err.toString()).isEmpty();
    }

    @Test
    void printsOneLineIfThereIsNothing() throws IOException {
        Files.delete(directory.resolve("pins/links/connect4"));
        rules = options -> List.of();
        assertThat(cleanup()).isZero();
        assertThat(out).hasToString("nothing to remove\n");
    }

    @Test
    void removesTheOtherPartIfOneFails() throws IOException {
        rules = options -> {
            throw new IOException("nft: no");
        };
        assertThat(cleanup()).isEqualTo(1);
        assertThat(directory.resolve("pins")).doesNotExist();
        assertThat(err).hasToString("sluice: cannot remove the rules of node mode: nft: no\n");
    }

    @Test
    void readsTheConfigurationFileOfTheDaemon() throws IOException {
        Path file = Files.writeString(directory.resolve("sluice.yaml"), """
                apiVersion: sluice.io/v1alpha1
                kind: SluiceConfiguration
                mode: node
                socketLb: auto
                routingTable: 4711
                """);
        assertThat(cleanup("--config=" + file)).isZero();
        assertThat(cleaned)
                .singleElement()
                .satisfies(options -> assertThat(options.routingTable()).isEqualTo(4711));
    }

    @ParameterizedTest
    @ValueSource(strings = {"admin", "handover"})
    void refusesWhileADaemonListens(String socket) throws IOException {
        try (ServerSocketChannel listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            listener.bind(UnixDomainSocketAddress.of(directory.resolve(socket)));
            assertThat(cleanup()).isEqualTo(1);
            assertThat(err)
                    .hasToString("sluice: Sluice is running and listens on " + directory.resolve(socket)
                            + "; stop it first, which also removes its rules and programs\n");
            assertThat(directory.resolve("pins/links/connect4")).exists();
            assertThat(cleaned).isEmpty();
        }
        // The file of a killed process remains.
        assertThat(directory.resolve(socket)).exists();
        assertThat(cleanup()).isZero();
    }
}
