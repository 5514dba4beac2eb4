package io.sluice.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.sluice.apiserver.ApiOptions;
import io.sluice.apiserver.KubernetesReflector;
import io.sluice.forward.ForwarderConfig;
import io.sluice.model.Cidr;
import io.sluice.model.IpAddress;
import io.sluice.model.TrafficPolicy;
import io.sluice.node.RuleOptions;
import io.sluice.rules.BuildOptions;
import io.sluice.rules.BuildOptions.AddressMap;
import io.sluice.rules.NodePortAddresses;
import io.sluice.rules.PolicyValues;
import io.sluice.socket.KeepAlive;
import io.sluice.socketlb.SocketLbOptions;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.LongSupplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Settings from files, environment variables and flags: precedence, parsing and errors. */
final class ConfigurationTest {
    private static final String HEADER = "apiVersion: sluice.io/v1alpha1\nkind: SluiceConfiguration\n";

    @TempDir
    private Path directory;

    private Path file(String text) throws Exception {
        return Files.writeString(directory.resolve("sluice.yaml"), text);
    }

    private List<String> problemsOf(String text) throws Exception {
        Path file = file(text);
        ConfigurationException e =
                catchThrowableOfType(ConfigurationException.class, () -> Configuration.load(file, Map.of(), Map.of()));
        assertThat(e).as("the file is invalid").isNotNull();
        return e.problems().stream()
                .map(problem -> problem.replace(file + ": ", ""))
                .toList();
    }

    private static Settings flag(Setting<?> setting, String... strings) throws ConfigurationException {
        return Configuration.load(null, Map.of(), Map.of(setting, List.of(strings)))
                .settings();
    }

    @Test
    void hasTheDefaultsOfKubeProxyAndTheForwarder() throws Exception {
        Settings settings = Configuration.load(null, Map.of(), Map.of()).settings();
        assertThat(settings.feed()).isNull();
        assertThat(settings.healthzBindAddress()).isEqualTo(new InetSocketAddress("0.0.0.0", 10256));
        assertThat(settings.metricsBindAddress()).hasToString("/127.0.0.1:10249");
        assertThat(settings.drainTimeout()).isEqualTo(Duration.ofSeconds(30));
        ForwarderConfig defaults = ForwarderConfig.defaults();
        assertThat(settings.forwarder())
                .usingRecursiveComparison()
                .ignoringFieldsOfTypes(LongSupplier.class, java.util.function.Function.class)
                .isEqualTo(defaults);
    }

    @Test
    void environmentOverridesFileAndFlagsOverrideBoth() throws Exception {
        Path file = file(HEADER + "feed: from-file\nloops: 1\nlogLevel: debug\n");
        Configuration configuration = Configuration.load(
                file,
                Map.of("SLUICE_FEED", "from-variable", "SLUICE_LOOPS", "2", "SLUICE_LOG_LEVEL", ""),
                Map.of(Setting.FEED, List.of("from-flag")));
        assertThat(configuration.settings().feed()).isEqualTo(Path.of("from-flag"));
        assertThat(configuration.settings().forwarder().loops()).isEqualTo(2);
        assertThat(configuration.settings().logLevel()).isEqualTo("debug");
        assertThat(configuration.withoutEffect())
                .containsExactly(
                        "SLUICE_FEED (from-variable) overrides feed: from-file of file " + file,
                        "SLUICE_LOOPS (2) overrides loops: 1 of file " + file,
                        "--feed (from-flag) overrides feed: from-variable of SLUICE_FEED");
    }

    @Test
    void doesNotReportAnOverrideWithTheSameValue() throws Exception {
        Path file = file(HEADER + "loops: 2\n");
        assertThat(Configuration.load(file, Map.of("SLUICE_LOOPS", "2"), Map.of())
                        .withoutEffect())
                .isEmpty();
    }

    @Test
    void readsEverySettingFromTheFile() throws Exception {
        Configuration configuration = Configuration.load(file(HEADER + """
                                feed: /manifests
                                kubeconfig: /a:/b
                                context: prod
                                masters: ["https://a:6443", "https://b:6443"]
                                tokenFile: /token
                                certificateAuthority: /ca.crt
                                insecureSkipTLSVerify: true
                                endpointsApi: endpoints
                                nodeName: node-1
                                nodeIPs: [192.0.2.1, "2001:db8::1"]
                                clusterCIDR: [10.244.0.0/16]
                                detectLocalMode: NodeCIDR
                                serviceCIDR: [10.96.0.0/12]
                                nodePortAddresses: [localhost, 192.0.2.0/24]
                                masqueradeAll: true
                                serviceProxyName: mine
                                mode: node
                                markBit: 13
                                routingTable: 4711
                                rulePriority: 120
                                keepRulesOnExit: true
                                socketLb: required
                                socketLbCgroup: /cgroup
                                socketLbPins: /pins
                                handoverSocket: /handover
                                exitAfterHandover: false
                                handoverMarker: /marker
                                mapFrontends: ["10.96.0.0/12=127.96.0.0/12"]
                                loops: 64
                                busyPoll: false
                                connectTimeout: 500ms
                                connectDeadline: 3s
                                connectAttempts: 2
                                halfClosedTimeout: 5m
                                tcpKeepaliveTime: 2m
                                tcpKeepaliveInterval: 5s
                                tcpKeepaliveProbes: 4
                                stalledTimeout: 150s
                                udpUnrepliedTimeout: 10s
                                udpRepliedTimeout: 1h
                                maxFlows: 1000
                                maxClientShare: 40
                                drainTimeout: 0s
                                healthzBindAddress: off
                                metricsBindAddress: "[::1]:0"
                                endpointMetrics: true
                                bindAddressHardFail: true
                                adminBindAddress: "[::1]:10261"
                                adminHosts: [Sluice.Example, b]
                                adminSocket: /admin.sock
                                readyFile: /ready
                                connectionLog: /connections
                                logFormat: json
                                logLevel: warn
                                """), Map.of(), Map.of());
        assertThat(Setting.values())
                .allSatisfy(setting -> assertThat(configuration.value(setting).strings())
                        .as(setting.key())
                        .isNotEmpty()
                        .isNotEqualTo(List.of(setting.defaultText())));
        assertThat(configuration.settings())
                .usingRecursiveComparison()
                .ignoringFieldsOfTypes(LongSupplier.class)
                .isEqualTo(new Settings(
                        Path.of("/manifests"),
                        new ApiOptions(
                                List.of(Path.of("/a"), Path.of("/b")),
                                "prod",
                                List.of("https://a:6443", "https://b:6443"),
                                Path.of("/token"),
                                Path.of("/ca.crt"),
                                true),
                        KubernetesReflector.EndpointsApi.ENDPOINTS,
                        new BuildOptions(
                                "node-1",
                                List.of(address("192.0.2.1"), address("2001:db8::1")),
                                List.of(cidr("10.244.0.0/16")),
                                true,
                                List.of(cidr("10.96.0.0/12")),
                                new NodePortAddresses(
                                        Set.of(NodePortAddresses.Keyword.LOCALHOST), List.of(cidr("192.0.2.0/24"))),
                                true,
                                List.of(new AddressMap(cidr("10.96.0.0/12"), cidr("127.96.0.0/12"))),
                                "mine",
                                true),
                        new ForwarderConfig(
                                64,
                                false,
                                Duration.ofMillis(500),
                                Duration.ofSeconds(3),
                                2,
                                Duration.ofMinutes(5),
                                new KeepAlive(120, 5, 4),
                                Duration.ofSeconds(150),
                                Duration.ofSeconds(10),
                                Duration.ofHours(1),
                                1000,
                                40,
                                ForwarderConfig.defaults().bufferBudgetBytes(),
                                null,
                                System::nanoTime),
                        new RuleOptions(13, 4711, 120, true, 10, 3600),
                        new SocketLbOptions(SocketLbOptions.Mode.REQUIRED, Path.of("/cgroup"), Path.of("/pins")),
                        Path.of("/handover"),
                        false,
                        Path.of("/marker"),
                        Duration.ZERO,
                        null,
                        address("::1").toSocketAddress(0),
                        true,
                        true,
                        new Settings.Admin(
                                address("::1").toSocketAddress(10_261),
                                List.of("sluice.example", "b"),
                                Path.of("/admin.sock")),
                        Path.of("/ready"),
                        Path.of("/connections"),
                        "json",
                        "warn"));
    }

    private static IpAddress address(String text) {
        return Objects.requireNonNull(IpAddress.parse(text));
    }

    private static Cidr cidr(String text) {
        return Objects.requireNonNull(Cidr.parse(text));
    }

    @Test
    void rejectsAnUnknownKeyAndListsTheKnownOnes() throws Exception {
        assertThat(problemsOf(HEADER + "mapFrontend: []\n"))
                .singleElement()
                .asString()
                .startsWith(
                        "mapFrontend: is not a setting; did you mean 'mapFrontends'? (allowed: adminBindAddress, adminHosts, adminSocket, bindAddressHardFail, busyPoll, certificateAuthority, ");
    }

    @Test
    void readsServiceDefaults() throws Exception {
        Path file = file(HEADER + """
                serviceDefaults:
                  balance: least-connections
                  maxConnections: 100
                  ejectAfter: false
                  healthCheckInterval: 2s
                  udpTimeout: 10m
                  sourceRanges: [10.0.0.0/8, "fd00::/8"]
                  acceptProxyProtocolFrom: []
                """);
        Configuration configuration = Configuration.load(file, Map.of(), Map.of());
        TrafficPolicy policy =
                configuration.settings().buildOptions().serviceDefaults().policy();
        assertThat(PolicyValues.texts(policy))
                .isEqualTo(Map.of(
                        "balance", "least-connections",
                        "eject-after", "off",
                        "max-connections", "100",
                        "udp-timeout", "10m",
                        "source-ranges", "10.0.0.0/8, fd00::/8"));
        Map<String, String> set = new LinkedHashMap<>();
        set.put("balance", "least-connections");
        set.put("ejectAfter", "off");
        set.put("healthCheckInterval", "2s");
        set.put("maxConnections", "100");
        set.put("udpTimeout", "10m");
        set.put("acceptProxyProtocolFrom", "none");
        set.put("sourceRanges", "10.0.0.0/8, fd00::/8");
        assertThat(configuration.toMap()).containsEntry("serviceDefaults", set);
        Path printed = directory.resolve("printed.yaml");
        Files.writeString(printed, configuration.print());
        assertThat(Configuration.load(printed, Map.of(), Map.of()).toMap()).isEqualTo(configuration.toMap());
        assertThat(configuration.print().lines()).anyMatch(line -> line.matches("serviceDefaults: +# file " + file));
    }

    /** The kernel's entry for a flow must not expire before that of the forwarder. */
    @Test
    void kernelKeepsFlowsAsLongAsServiceDefaults() throws Exception {
        String defaults = "serviceDefaults: {udpTimeout: 10m, udpUnrepliedTimeout: 1s}\n";
        Path file = file(HEADER + "mode: node\n" + defaults);
        RuleOptions rules = Objects.requireNonNull(
                Configuration.load(file, Map.of(), Map.of()).settings().rules());
        assertThat(rules.udpRepliedSeconds()).isEqualTo(600);
        assertThat(rules.udpUnrepliedSeconds()).isEqualTo(30);
    }

    @Test
    void rejectsWrongTypesWithTheirField() throws Exception {
        assertThat(problemsOf(HEADER
                        + "loops: two\nconnectTimeout: 30\nfeed: [a]\nlogLevel: {a: b}\nmode: true\nmapFrontends: x\n"))
                .containsExactly(
                        "loops: the string 'two' is invalid; must be a whole number from 1 to 64",
                        "connectTimeout: 30 has no unit; must be a duration such as 500ms, 30s, 5m or 1h, from 1ms to 1h",
                        "feed: a list is invalid; must be the path of a file or directory",
                        "logLevel: a mapping is invalid; must be error, warn, info, debug or trace",
                        "mode: the boolean true is invalid; must be bind or node",
                        "mapFrontends: the string 'x' is invalid; must be a list, each item FROM=TO, two ranges of the same"
                                + " family and size, such as 10.96.0.0/12=127.96.0.0/12");
    }

    @Test
    void reportsTheIndexOfAListItem() throws Exception {
        assertThat(problemsOf(HEADER + "mapFrontends: [7]\n"))
                .singleElement()
                .asString()
                .startsWith("mapFrontends[0]: the number 7 is invalid");
    }

    @Test
    void rejectsAnotherKind() throws Exception {
        assertThat(problemsOf("apiVersion: v1\nkind: ConfigMap\n"))
                .containsExactly(
                        "apiVersion: must be sluice.io/v1alpha1, not 'v1'",
                        "kind: must be SluiceConfiguration or KubeProxyConfiguration, not 'ConfigMap'");
        assertThat(problemsOf("loops: 1\n"))
                .containsExactly(
                        "apiVersion: missing; must be sluice.io/v1alpha1",
                        "kind: missing; must be SluiceConfiguration");
    }

    @Test
    void rejectsFilesThatAreNoConfiguration() throws Exception {
        assertThat(problemsOf("")).singleElement().asString().startsWith("is empty; it must begin with 'apiVersion:");
        assertThat(problemsOf("- a\n")).containsExactly("must be a mapping of settings, not a list");
        assertThat(problemsOf(HEADER + "---\n" + HEADER))
                .containsExactly("has more than one SluiceConfiguration; one is allowed");
        assertThat(problemsOf(HEADER + "loops: [1\n"))
                .singleElement()
                .asString()
                .startsWith("line ");
        assertThat(problemsOf(HEADER + "loops: 1\nloops: 2\n"))
                .singleElement()
                .asString()
                .contains("loops");
    }

    @ParameterizedTest
    @CsvSource({
        "--loops,65",
        "--loops,-1",
        "--loops,1.5",
        "--loops,''",
        "--max-client-share,0",
        "--max-client-share,101",
        "--max-client-share,25%",
        "--connect-timeout,0ms",
        "--connect-timeout,2h",
        "--connect-timeout,1 s",
        "--drain-timeout,25h",
        "--drain-timeout,9999999999s",
        "--healthz-bind-address,10256",
        "--healthz-bind-address,localhost:1",
        "--healthz-bind-address,::1:80",
        "--healthz-bind-address,127.0.0.1:65536",
        "--metrics-bind-address,[127.0.0.1]:80",
        "--admin-bind-address,localhost:10261",
        "--admin-host,sluice.example:80",
        "--admin-host,-a",
        "--admin-host,a..b",
        "--admin-host,''",
        "--admin-socket,''",
        "--log-level,loud",
        "--log-format,xml",
        "--node-name,a_b",
        "--node-name,''",
        "--map-frontends,10.0.0.0/8",
        "--map-frontends,10.0.0.0/8=127.0.0.0/9",
        "--map-frontends,10.0.0.0/8=fd00::/8",
        "--mode,iptables",
        "--socket-lb,on",
        "--socket-lb,AUTO",
        "--socket-lb,''",
        "--socket-lb-cgroup,''",
        "--socket-lb-cgroup,sys/fs/cgroup",
        "--socket-lb-pins,pins",
        "--feed,''"
    })
    void rejectsInvalidValues(String flag, String text) {
        Setting<?> setting = Setting.values().stream()
                .filter(each -> each.flags().contains(flag))
                .findFirst()
                .orElseThrow();
        assertThat(catchThrowableOfType(ConfigurationException.class, () -> flag(setting, text)))
                .isNotNull()
                .hasMessage(setting.flags().get(0) + ": '" + text + "' is invalid; must be " + setting.allowed());
    }

    @ParameterizedTest
    @CsvSource({
        "10.96.0.0/12=127.100.0.0/12, 127.100.0.0/12, 127.96.0.0/12",
        "10.96.0.10/12=127.96.0.0/12, 10.96.0.10/12, 10.96.0.0/12",
        "fd00::1/112=fd00:1::/112, fd00::1/112, fd00::/112"
    })
    void rejectsARangeWithBitsBeyondItsPrefixLengthAndSuggestsTheAlignedOne(String text, String range, String aligned) {
        assertThat(catchThrowableOfType(ConfigurationException.class, () -> flag(Setting.MAP_FRONTENDS, text)))
                .isNotNull()
                .hasMessage("--map-frontends: " + range + " has bits set beyond its prefix length; did you mean "
                        + aligned);
    }

    @Test
    void acceptsOffAndIpv6AsBindAddress() throws Exception {
        assertThat(flag(Setting.METRICS_BIND_ADDRESS, "off").metricsBindAddress())
                .isNull();
        assertThat(flag(Setting.METRICS_BIND_ADDRESS, "").metricsBindAddress()).isNull();
        InetSocketAddress six = Objects.requireNonNull(
                flag(Setting.METRICS_BIND_ADDRESS, "[::1]:10249").metricsBindAddress());
        assertThat(six.getAddress().isLoopbackAddress()).isTrue();
        assertThat(six.getPort()).isEqualTo(10249);
    }

    @Test
    void hasAnAdminSocketByDefaultOnlyInNodeMode() throws Exception {
        assertThat(flag(Setting.MODE, "bind").admin().socket()).isNull();
        assertThat(flag(Setting.MODE, "node").admin().socket()).isEqualTo(Path.of("/run/sluice/admin.sock"));
        assertThat(flag(Setting.ADMIN_SOCKET, "a").admin().socket()).isEqualTo(Path.of("a"));
        Map<Setting<?>, List<String>> off = Map.of(Setting.MODE, List.of("node"), Setting.ADMIN_SOCKET, List.of("off"));
        assertThat(Configuration.load(null, Map.of(), off).settings().admin().socket())
                .isNull();
    }

    @Test
    void socketLbIsOffByDefaultAndNeedsNodeMode() throws Exception {
        assertThat(Configuration.load(null, Map.of(), Map.of()).settings().socketLb())
                .isEqualTo(SocketLbOptions.OFF);
        assertThat(flag(Setting.SOCKET_LB, "off").socketLb().isOn()).isFalse();
        Path file = file(HEADER + "mode: node\nsocketLb: auto\n");
        assertThat(Configuration.load(file, Map.of(), Map.of()).settings().socketLb())
                .isEqualTo(new SocketLbOptions(SocketLbOptions.Mode.AUTO, null, SocketLbOptions.DEFAULT_PINS));
        for (String mode : List.of("auto", "required")) {
            assertThat(catchThrowableOfType(ConfigurationException.class, () -> flag(Setting.SOCKET_LB, mode))
                            .problems())
                    .containsExactly("--socket-lb: '" + mode + "' needs node mode; set --mode node or --socket-lb off");
        }
        assertThat(problemsOf(HEADER + "socketLb: required\n"))
                .containsExactly("socketLb: 'required' needs node mode; set --mode node or --socket-lb off");
    }

    @Test
    void warnsIfTheAdminApiIsNotOnLoopback() throws Exception {
        for (String loopback : List.of("127.0.0.1:10261", "127.5.5.5:1", "[::1]:0", "off")) {
            assertThat(warnings(loopback)).as(loopback).isEmpty();
        }
        for (String other : List.of("0.0.0.0:10261", "[::]:10261", "198.18.0.1:1")) {
            assertThat(warnings(other))
                    .singleElement()
                    .asString()
                    .startsWith("--admin-bind-address: " + other
                            + " is not a loopback address; the admin API has no authentication");
        }
    }

    private static List<String> warnings(String adminAddress) throws ConfigurationException {
        return Configuration.load(null, Map.of(), Map.of(Setting.ADMIN_BIND_ADDRESS, List.of(adminAddress)))
                .warnings();
    }

    @Test
    void convertsTheNodeNameToLowerCase() throws Exception {
        assertThat(flag(Setting.NODE_NAME, " Node-A.Example ").buildOptions().nodeName())
                .isEqualTo("node-a.example");
    }

    @Test
    void allowsOneClusterCidrForEachFamily() throws Exception {
        assertThat(flag(Setting.CLUSTER_CIDR, "10.0.0.0/8", "fd00::/8")
                        .buildOptions()
                        .clusterCidrs())
                .hasSize(2);
        assertThat(catchThrowableOfType(
                                ConfigurationException.class,
                                () -> flag(Setting.CLUSTER_CIDR, "10.0.0.0/8", "11.0.0.0/8"))
                        .problems())
                .containsExactly("--cluster-cidr: at most one range of each family is allowed");
    }
}
