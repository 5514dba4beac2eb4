package io.sluice.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.config.Configuration;
import io.sluice.config.Setting;
import io.sluice.config.Settings;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;

/** Help, usage errors and exit codes. */
final class CommandLineTest {
    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    private int sluice(String... args) {
        return sluice(Map.of(), args);
    }

    private int sluice(Map<String, String> environment, String... args) {
        CommandLine line = Main.commandLine(environment, InputStream.nullInputStream());
        line.setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
        return line.execute(args);
    }

    @Test
    void helpHasCommandsExamplesAndExitCodes() {
        assertThat(sluice("--help")).isZero();
        assertThat(out.toString())
                .contains("kube-proxy", "run", "check", "trace", "demo", "Examples:", "Exit codes: 0")
                .contains("kubectl get services,endpointslices");
        assertThat(err.toString()).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "run",
                "check",
                "trace",
                "demo",
                "completion",
                "cleanup",
                "status",
                "top",
                "services",
                "endpoints",
                "connections",
                "flows",
                "affinity",
                "events",
                "endpoint",
                "upgrade",
                "log-level",
                "debug-bundle"
            })
    void helpOfACommandFitsTheTerminalAndHasExamplesAndExitCodes(String command) {
        assertThat(sluice(command, "--help")).isZero();
        assertThat(out.toString()).contains("Usage: sluice " + command, "Examples:", "Exit codes: 0");
        assertThat(out.toString().lines())
                .allSatisfy(line -> assertThat(line.length()).isLessThanOrEqualTo(100));
    }

    @Test
    void helpOfRunHasEveryFlagWithItsDefault() {
        assertThat(sluice("run", "--help")).isZero();
        assertThat(Setting.values())
                .allSatisfy(setting -> assertThat(out.toString())
                        .contains(setting.flags())
                        .contains(
                                setting.isList() || setting == Setting.NODE_NAME || setting == Setting.LOOPS
                                        ? ""
                                        : setting.defaultText()));
    }

    @Test
    void helpOfRunGroupsTheFlagsUnderHeadings() {
        assertThat(sluice("run", "--help")).isZero();
        Map<String, List<String>> groups = new LinkedHashMap<>();
        List<String> group = new ArrayList<>();
        for (String line : out.toString().split("\n")) {
            String text = line.strip();
            if (line.matches("[A-Z][A-Za-z, -]+:")) {
                group = new ArrayList<>();
                groups.put(line, group);
            } else if (text.startsWith("--")) {
                group.add(text.split("[ =,\\[]")[0]);
            }
        }
        assertThat(groups.keySet())
                .containsExactly(
                        "Options:",
                        "Source of Services:",
                        "Node and rules:",
                        "Socket-level load balancing:",
                        "Forwarding:",
                        "Limits:",
                        "Health, metrics and admin:",
                        "Logging:",
                        "Handover and shutdown:",
                        "Examples:");
        assertThat(groups.values()).allSatisfy(flags -> assertThat(flags).isSorted());
        assertThat(groups.get("Source of Services:")).contains("--feed", "--master");
        assertThat(groups.get("Node and rules:")).contains("--mode", "--map-frontends");
        assertThat(groups.get("Socket-level load balancing:"))
                .containsExactly("--socket-lb", "--socket-lb-cgroup", "--socket-lb-pins");
        assertThat(groups.get("Limits:")).containsExactly("--max-client-share", "--max-flows");
        assertThat(groups.get("Handover and shutdown:"))
                .containsExactly("--drain-timeout", "--exit-after-handover", "--handover-marker", "--handover-socket");
    }

    @Test
    void helpListsTheCommandsForARunningDaemonSeparately() {
        assertThat(sluice("--help")).isZero();
        String help = out.toString();
        int operator = help.indexOf("\nCommands for a running Sluice:\n");
        assertThat(help.indexOf("\nCommands:\n")).isPositive().isLessThan(operator);
        assertThat(help.indexOf("\n  trace ")).isPositive().isLessThan(operator);
        assertThat(help.indexOf("\n  status ")).isGreaterThan(operator);
        assertThat(help.indexOf("\n  log-level ")).isGreaterThan(help.indexOf("\n  status "));
    }

    @Test
    void completionScriptsAreValidAndCompleteCommands(@TempDir Path directory) throws Exception {
        assertThat(sluice("completion", "bash")).isZero();
        Path script = Files.writeString(directory.resolve("sluice.bash"), out.toString());
        Process bash = new ProcessBuilder(
                        "bash",
                        "-c",
                        "set -e; source " + script + "; COMP_WORDS=(sluice stat); COMP_CWORD=1;"
                                + " _complete_sluice; echo \"${COMPREPLY[@]}\"")
                .redirectErrorStream(true)
                .start();
        assertThat(new String(bash.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip())
                .isEqualTo("status");
        out.getBuffer().setLength(0);
        assertThat(sluice("completion", "zsh")).isZero();
        assertThat(out.toString()).startsWith("autoload -U +X compinit && compinit\n");
        assertThat(sluice("completion", "fish")).isEqualTo(2);
        assertThat(err.toString()).contains("[bash, zsh]");
    }

    @Test
    void printsTheVersion() {
        assertThat(sluice("--version")).isZero();
        assertThat(out.toString())
                .startsWith("sluice ")
                .contains("Java " + Runtime.version().feature(), "Netty 4.")
                .hasLineCount(1);
    }

    @Test
    void suggestsAFlagForAnUnknownFlag() {
        assertThat(sluice("run", "--metric-bind-address=127.0.0.1:1")).isEqualTo(2);
        assertThat(err.toString()).isEqualTo("""
                        sluice: unknown flag '--metric-bind-address'; did you mean '--metrics-bind-address'?
                        Try 'sluice run --help'.
                        """);
        assertThat(out.toString()).isEmpty();
    }

    @Test
    void rejectsAnUnknownAndAMissingCommand() {
        assertThat(sluice("chek")).isEqualTo(2);
        assertThat(err.toString()).contains("unknown command 'chek'; did you mean 'check'?");
        assertThat(sluice()).isEqualTo(2);
        assertThat(err.toString()).contains("missing command, such as run, check or status");
    }

    @Test
    void rejectsAnUnexpectedArgumentAndAMissingValue() {
        assertThat(sluice("run", "manifests/")).isEqualTo(2);
        assertThat(err.toString()).contains("unexpected argument 'manifests/'");
        assertThat(sluice("run", "--feed")).isEqualTo(2);
        assertThat(err.toString()).contains("missing required parameter for option '--feed' (PATH)");
    }

    @Test
    void startsMessagesInLowerCaseButKeepsLabels() {
        assertThat(sluice("completion")).isEqualTo(2);
        assertThat(sluice("services", "shop/web", "--state=ok")).isEqualTo(2);
        assertThat(err.toString().lines().filter(line -> line.startsWith("sluice: ")))
                .containsExactly(
                        "sluice: missing required parameter: 'SHELL'",
                        "sluice: NAMESPACE/NAME cannot be combined with --namespace, --state or --query");
    }

    /** Commands that print until Ctrl-C depend on this to end. */
    @Test
    void noticesThatTheReaderOfTheOutputHasExited() {
        PrintWriter writer = Main.writer(new PrintStream(new OutputStream() {
            @Override
            public void write(int next) throws IOException {
                throw new IOException("Broken pipe");
            }
        }));
        writer.println("text");
        assertThat(writer.checkError()).isTrue();
    }

    @Test
    void reportsWhereAnApiServerWasLookedFor(@TempDir Path home) {
        assertThat(sluice(Map.of("HOME", home.toString()), "run")).isEqualTo(2);
        assertThat(err.toString())
                .isEqualTo(
                        "sluice: no API server configured: --kubeconfig, --master and KUBECONFIG are not set, and neither"
                                + " /var/run/secrets/kubernetes.io/serviceaccount/token nor " + home
                                + "/.kube/config exists; set --kubeconfig, or set --feed to serve manifests from a file"
                                + " or directory\n");
    }

    @Test
    void reportsAnInvalidKubeconfigInOneLine(@TempDir Path home) throws Exception {
        Path file = Files.writeString(home.resolve("config"), "current-context: x\n");
        assertThat(sluice(Map.of("KUBECONFIG", file.toString()), "run")).isEqualTo(2);
        assertThat(sluice("run", "--kubeconfig=" + file + ":" + file, "--context=y"))
                .isEqualTo(2);
        assertThat(err.toString().lines())
                .containsExactly(
                        "sluice: " + file + ": context 'x' not found; available: none",
                        "sluice: " + file + ", " + file + ": context 'y' not found; available: none");
    }

    @Test
    void rejectsAFeedTogetherWithAnApiServer() {
        assertThat(sluice(Map.of("SLUICE_TOKEN_FILE", "t"), "run", "--feed=x", "--master=http://127.0.0.1:8001"))
                .isEqualTo(2);
        assertThat(sluice("run", "--feed=x", "--master=127.0.0.1:8001")).isEqualTo(2);
        assertThat(err.toString().lines())
                .containsExactly(
                        "sluice: --feed cannot be combined with --master, SLUICE_TOKEN_FILE; use either a feed or an API"
                                + " server",
                        "sluice: --master: '127.0.0.1:8001' is invalid; must be a URL such as https://10.0.0.1:6443 or"
                                + " http://127.0.0.1:8001");
    }

    @Test
    void reportsEveryInvalidValue() {
        assertThat(sluice("run", "--feed=x", "--mode=iptables", "--loops=0", "--drain-timeout=30"))
                .isEqualTo(2);
        assertThat(err.toString().lines())
                .containsExactly(
                        "sluice: --mode: 'iptables' is invalid; must be bind or node",
                        "sluice: --drain-timeout: '30' is invalid; must be a duration such as 500ms, 30s, 5m or 1h, from 0s to"
                                + " 24h",
                        "sluice: --loops: '0' is invalid; must be a whole number from 1 to 64");
    }

    @Test
    void checkReportsAFeedThatDoesNotExist(@TempDir Path directory) {
        assertThat(sluice("check", "--feed", directory.resolve("none").toString()))
                .isEqualTo(2);
        assertThat(err.toString()).contains("none' does not exist");
    }

    @Test
    void printConfigShowsTheSourceOfEachValue(@TempDir Path directory) throws Exception {
        Path file = Files.writeString(directory.resolve("sluice.yaml"), """
                apiVersion: sluice.io/v1alpha1
                kind: SluiceConfiguration
                loops: 3
                connectTimeout: 250ms
                """);
        int code = sluice(
                Map.of("SLUICE_CONNECT_TIMEOUT", "2s", "SLUICE_MAP_FRONTENDS", "10.0.0.0/8=127.0.0.0/8"),
                "run",
                "--config=" + file,
                "--print-config",
                "--hostname-override=Node-1");
        assertThat(code).isZero();
        assertThat(Arrays.stream(out.toString().split("\n")).map(line -> line.replaceAll(" +", " ")))
                .contains(
                        "loops: 3 # file " + file,
                        "connectTimeout: 2s # SLUICE_CONNECT_TIMEOUT",
                        "nodeName: Node-1 # --node-name",
                        "mapFrontends: # SLUICE_MAP_FRONTENDS",
                        " - \"10.0.0.0/8=127.0.0.0/8\"",
                        "connectAttempts: 3 # default");
    }

    @Test
    void printConfigPrintsAValidConfiguration(@TempDir Path directory) throws Exception {
        assertThat(sluice("run", "--print-config", "--feed=a b", "--map-frontends=fd00::/112=fd01::/112", "--loops=5"))
                .isZero();
        Path file = Files.writeString(directory.resolve("printed.yaml"), out.toString());
        Settings settings = Configuration.load(file, Map.of(), Map.of()).settings();
        assertThat(settings.feed()).isEqualTo(Path.of("a b"));
        assertThat(settings.forwarder().loops()).isEqualTo(5);
        assertThat(settings.buildOptions().frontendMap()).hasSize(1);
    }

    @Test
    void findsTheConfigurationFileByFlagAndEnvironmentVariable(@TempDir Path directory) {
        Path none = directory.resolve("none.yaml");
        assertThat(sluice("run", "--config=" + none)).isEqualTo(2);
        assertThat(sluice(Map.of("SLUICE_CONFIG", none.toString()), "run")).isEqualTo(2);
        assertThat(err.toString().lines())
                .containsExactly("sluice: " + none + ": does not exist", "sluice: " + none + ": does not exist");
    }
}
