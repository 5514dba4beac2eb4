package io.sluice.config;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.cli.Main;
import io.sluice.model.Cidr;
import io.sluice.rules.NodePortAddresses;
import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;

/**
 * Keys of a {@code KubeProxyConfiguration} that are applied, reported or overridden. Invalid values are tested with
 * {@code bad-input.txt}.
 */
final class KubeProxyConfigurationTest {
    private static final String HEADER = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
    private static final String OURS = "apiVersion: sluice.io/v1alpha1\nkind: SluiceConfiguration\n";

    @TempDir
    private Path directory;

    private Configuration load(String text) throws Exception {
        return load(text, Map.of());
    }

    private Configuration load(String text, Map<Setting<?>, List<String>> flags) throws Exception {
        return Configuration.load(file(text), Map.of(), flags);
    }

    private Path file(String text) throws Exception {
        return Files.writeString(directory.resolve("config.conf"), text);
    }

    private String withoutPrefix(String line) {
        return line.replace(directory.resolve("config.conf") + ": KubeProxyConfiguration: ", "");
    }

    /** Each setting that is not the default, as {@code key=text}. */
    private static List<String> set(Configuration configuration) {
        return Setting.values().stream()
                .filter(setting -> !configuration.value(setting).origin().equals("default"))
                .map(setting -> setting.key() + "="
                        + String.join("+", configuration.value(setting).strings()))
                .toList();
    }

    @Test
    void readsTheConfigurationOfKubeadm() throws Exception {
        Configuration configuration = load(Files.readString(Path.of("src/test/resources/kubeadm-config.conf")));
        assertThat(set(configuration)).containsExactly("clusterCIDR=10.244.0.0/16");
        assertThat(configuration.warnings()).isEmpty();
        assertThat(configuration.withoutEffect())
                .singleElement()
                .satisfies(line -> assertThat(withoutPrefix(line))
                        .isEqualTo("keys without effect in Sluice: clientConnection.kubeconfig (file not" + " found)"));
    }

    @Test
    void appliesKeysThatSluiceSupports() throws Exception {
        Settings settings = load(HEADER + """
                hostnameOverride: " Node-A "
                healthzBindAddress: 127.0.0.1
                metricsBindAddress: "::1"
                bindAddressHardFail: true
                clusterCIDR: 10.244.0.0/16, fd00:1::/64
                detectLocalMode: NodeCIDR
                nodePortAddresses: [192.168.0.0/16, localhost]
                nftables: {masqueradeAll: true}
                logging: {format: json, verbosity: 4}
                """).settings();
        assertThat(settings.buildOptions().nodeName()).isEqualTo("node-a");
        assertThat(settings.healthzBindAddress()).hasToString("/127.0.0.1:10256");
        assertThat(Objects.requireNonNull(settings.metricsBindAddress()).getPort())
                .isEqualTo(10249);
        assertThat(settings.bindAddressHardFail()).isTrue();
        assertThat(settings.buildOptions().clusterCidrs()).containsExactly(cidr("10.244.0.0/16"), cidr("fd00:1::/64"));
        assertThat(settings.buildOptions().nodePortAddresses())
                .isEqualTo(new NodePortAddresses(
                        Set.of(NodePortAddresses.Keyword.LOCALHOST), List.of(cidr("192.168.0.0/16"))));
        assertThat(settings.buildOptions().masqueradeAll()).isTrue();
        assertThat(settings.logFormat()).isEqualTo("json");
        assertThat(settings.logLevel()).isEqualTo("debug");
    }

    @Test
    void usesTheKubeconfigIfItExistsAndThereIsNoFeed() throws Exception {
        Path kubeconfig = Files.writeString(directory.resolve("kubeconfig.conf"), "");
        String text = HEADER + "clientConnection: {kubeconfig: " + kubeconfig + "}\n";
        assertThat(load(text).settings().api().kubeconfigs()).containsExactly(kubeconfig);
        Configuration withFeed = load(text, Map.of(Setting.FEED, List.of("feed")));
        assertThat(withFeed.settings().api().kubeconfigs()).isEmpty();
        assertThat(withFeed.withoutEffect())
                .containsExactly("--feed (feed) overrides kubeconfig: " + kubeconfig + " of file "
                        + directory.resolve("config.conf") + " (KubeProxyConfiguration)");
    }

    private static Cidr cidr(String text) {
        return Objects.requireNonNull(Cidr.parse(text));
    }

    @ParameterizedTest
    @CsvSource({
        "'', true, false, true",
        "'', false, true, true",
        "'', false, false, false",
        "nftables, false, true, true",
        "nftables, true, false, false",
        "iptables, true, false, true",
        "iptables, false, true, false",
        "ipvs, true, false, true"
    })
    void usesMasqueradeAllOfTheMode(String mode, boolean iptables, boolean nftables, boolean expected)
            throws Exception {
        Configuration configuration = load(HEADER + "mode: '" + mode + "'\niptables: {masqueradeAll: " + iptables
                + "}\nnftables: {masqueradeAll: " + nftables + "}\n");
        assertThat(configuration.settings().buildOptions().masqueradeAll()).isEqualTo(expected);
        boolean ignored = !expected && (iptables || nftables);
        assertThat(String.join("", configuration.withoutEffect()).contains("masqueradeAll"))
                .isEqualTo(ignored);
    }

    @ParameterizedTest
    @CsvSource({"0, info", "2, info", "3, info", "4, debug", "5, debug", "6, trace", "10, trace"})
    void convertsTheVerbosityToALogLevel(int verbosity, String level) throws Exception {
        assertThat(load(HEADER + "logging: {verbosity: " + verbosity + "}\n")
                        .settings()
                        .logLevel())
                .isEqualTo(level);
    }

    @Test
    void bindAddressSelectsTheFamilyOfTheServers() throws Exception {
        assertThat(set(load(HEADER + "bindAddress: '::'\n")))
                .containsExactly("healthzBindAddress=[::]:10256", "metricsBindAddress=[::1]:10249");
        assertThat(set(load(HEADER + "healthzBindAddress: 0.0.0.0:1\nbindAddress: '::'\n")))
                .containsExactly("healthzBindAddress=0.0.0.0:1", "metricsBindAddress=[::1]:10249");
    }

    @Test
    void listsKeysWithoutEffectInOneLine() throws Exception {
        Configuration configuration = load(HEADER + """
                mode: ipvs
                bindAddress: 192.168.1.7
                ipvs: {scheduler: lc, excludeCIDRs: [10.0.0.0/8]}
                iptables: {syncPeriod: 1m}
                conntrack: {maxPerCore: 0, min: 1}
                featureGates: {A: true}
                logging: {options: {json: {infoBufferSize: "1"}}}
                """);
        assertThat(set(configuration)).isEmpty();
        assertThat(configuration.withoutEffect())
                .singleElement()
                .satisfies(line -> assertThat(withoutPrefix(line))
                        .isEqualTo("keys without effect in Sluice: bindAddress (for the node's primary address, set"
                                + " nodeIPs in a SluiceConfiguration), mode, ipvs.scheduler, ipvs.excludeCIDRs, iptables.syncPeriod,"
                                + " conntrack.min, featureGates, logging.options"));
    }

    @Test
    void doesNotReportDefaultsThatKubeProxyWrites() throws Exception {
        Configuration configuration = load(HEADER + """
                clientConnection: {burst: 10, contentType: application/vnd.kubernetes.protobuf, qps: 5}
                configSyncPeriod: 15m0s
                conntrack: {maxPerCore: 32768, min: 131072, tcpCloseWaitTimeout: 1h0m0s, tcpEstablishedTimeout: 24h0m0s}
                iptables: {localhostNodePorts: true, masqueradeBit: 14, minSyncPeriod: 1s, syncPeriod: 30s}
                logging: {flushFrequency: 5s, format: text, options: {text: {infoBufferSize: "0"}}}
                oomScoreAdj: -999
                """);
        assertThat(configuration.withoutEffect()).isEmpty();
        assertThat(configuration.warnings()).isEmpty();
    }

    @Test
    void warnsAboutUnknownKeysAndSuggestsSimilarOnes() throws Exception {
        Configuration configuration = load(
                HEADER + "clusterCidr: x\niptables: {syncPerod: 1s}\niptables.masqueradeAll: true\n\"a\\nb\": 1\n");
        assertThat(set(configuration)).isEmpty();
        assertThat(configuration.warnings().stream().map(this::withoutPrefix))
                .containsExactly(
                        "clusterCidr: is not a key of kube-proxy, ignored; did you mean 'clusterCIDR'?",
                        "iptables.syncPerod: is not a key of kube-proxy, ignored; did you mean"
                                + " 'iptables.syncPeriod'?",
                        "[iptables.masqueradeAll]: is not a key of kube-proxy, ignored",
                        "a\\u000Ab: is not a key of kube-proxy, ignored");
    }

    @Test
    void sluiceConfigurationOverridesKubeProxyConfigurationInAnyOrder() throws Exception {
        String theirs = HEADER + "hostnameOverride: a\nhealthzBindAddress: 127.0.0.1:1\n";
        String ours = OURS + "nodeName: b\nlogLevel: debug\n";
        for (String text : List.of(theirs + "---\n" + ours, ours + "---\n" + theirs)) {
            Configuration configuration = load(text, Map.of(Setting.LOG_LEVEL, List.of("warn")));
            Path file = directory.resolve("config.conf");
            assertThat(set(configuration))
                    .containsExactly("nodeName=b", "healthzBindAddress=127.0.0.1:1", "logLevel=warn");
            assertThat(configuration.withoutEffect())
                    .containsExactly(
                            "file " + file + " (b) overrides nodeName: a of file " + file + " (KubeProxyConfiguration)",
                            "--log-level (warn) overrides logLevel: debug of file " + file);
            assertThat(configuration.print().lines().map(line -> line.replaceAll(" +", " ")))
                    .contains(
                            "nodeName: b # file " + file,
                            "healthzBindAddress: \"127.0.0.1:1\" # file " + file + " (KubeProxyConfiguration)");
        }
    }

    @Test
    void printConfigReportsValuesWithoutEffectOnStderr() throws Exception {
        StringWriter out = new StringWriter();
        StringWriter err = new StringWriter();
        CommandLine line = Main.commandLine(Map.of(), InputStream.nullInputStream());
        line.setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
        Path file = file(HEADER + "mode: iptables\nmodes: x\n");
        assertThat(line.execute("run", "--print-config", "--node-name=a", "--config=" + file))
                .isZero();
        assertThat(err.toString().lines().map(this::withoutPrefix))
                .containsExactly(
                        "sluice: modes: is not a key of kube-proxy, ignored; did you mean 'mode'?",
                        "sluice: keys without effect in Sluice: mode");
        assertThat(out.toString()).startsWith(OURS).doesNotContain("iptables");
    }

    @Test
    void checkReadsTheConfigurationToo() throws Exception {
        Path feed = Files.writeString(directory.resolve("feed.yaml"), "");
        StringWriter err = new StringWriter();
        CommandLine line = Main.commandLine(Map.of(), InputStream.nullInputStream());
        line.setOut(new PrintWriter(new StringWriter())).setErr(new PrintWriter(err));
        Path file = file(HEADER + "clusterCIDR: x\n");
        assertThat(line.execute("check", "--feed=" + feed, "--config=" + file)).isEqualTo(2);
        assertThat(err.toString())
                .startsWith("sluice: " + file + ": KubeProxyConfiguration: clusterCIDR: the string 'x'");
    }
}
