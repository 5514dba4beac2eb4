package io.sluice.config;

import static java.util.Map.entry;

import io.sluice.config.Configuration.Value;
import io.sluice.model.Cidr;
import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import io.sluice.text.Suggestion;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * Reads a {@code KubeProxyConfiguration}, such as kubeadm's {@code config.conf}, as it is: what has a meaning here is
 * honoured, what has none is named, what kube-proxy does not know is warned about.
 *
 * <p>As in kube-proxy, what is empty or zero is not set.
 */
final class KubeProxyDocument {
    static final String API_VERSION = "kubeproxy.config.k8s.io/v1alpha1";
    static final String KIND = "KubeProxyConfiguration";

    private static final int HEALTHZ_PORT = 10256;
    private static final int METRICS_PORT = 10249;

    /** What a key of kube-proxy's sets, and how: no texts for what is not set, null for what is not allowed. */
    private record Mapping(Setting<?> setting, String allowed, Function<JsonNode, @Nullable List<String>> texts) {
        Mapping(Setting<?> setting, Function<JsonNode, @Nullable List<String>> texts) {
            this(setting, setting.allowed(), texts);
        }
    }

    private static final Map<String, Mapping> HONOURED = Map.ofEntries(
            entry("hostnameOverride", new Mapping(Setting.NODE_NAME, KubeProxyDocument::text)),
            entry(
                    "healthzBindAddress",
                    new Mapping(Setting.HEALTHZ_BIND_ADDRESS, node -> withPort(node, HEALTHZ_PORT))),
            entry(
                    "metricsBindAddress",
                    new Mapping(Setting.METRICS_BIND_ADDRESS, node -> withPort(node, METRICS_PORT))),
            entry("bindAddressHardFail", new Mapping(Setting.BIND_ADDRESS_HARD_FAIL, KubeProxyDocument::truth)),
            entry("clientConnection.kubeconfig", new Mapping(Setting.KUBECONFIG, KubeProxyDocument::text)),
            entry("clusterCIDR", new Mapping(Setting.CLUSTER_CIDR, KubeProxyDocument::oneOfEachFamily)),
            entry("detectLocalMode", new Mapping(Setting.DETECT_LOCAL_MODE, KubeProxyDocument::text)),
            entry(
                    "nodePortAddresses",
                    new Mapping(
                            Setting.NODEPORT_ADDRESSES,
                            "a list, each " + Setting.NODEPORT_ADDRESSES.allowed(),
                            KubeProxyDocument::list)),
            entry("iptables.masqueradeAll", new Mapping(Setting.MASQUERADE_ALL, KubeProxyDocument::truth)),
            entry("nftables.masqueradeAll", new Mapping(Setting.MASQUERADE_ALL, KubeProxyDocument::truth)),
            entry("logging.format", new Mapping(Setting.LOG_FORMAT, KubeProxyDocument::text)),
            entry(
                    "logging.verbosity",
                    new Mapping(Setting.LOG_LEVEL, "a whole number, 0 or more", KubeProxyDocument::level)));

    /** kube-proxy's other keys, with its defaults: what it writes itself is not worth a word. */
    private static final Map<String, String> WITHOUT_MEANING = """
            clientConnection.acceptContentTypes
            clientConnection.burst 10
            clientConnection.contentType application/vnd.kubernetes.protobuf
            clientConnection.qps 5
            configSyncPeriod 15m
            conntrack.maxPerCore 32768
            conntrack.min 131072
            conntrack.tcpBeLiberal
            conntrack.tcpCloseWaitTimeout 1h
            conntrack.tcpEstablishedTimeout 24h
            conntrack.udpStreamTimeout
            conntrack.udpTimeout
            detectLocal.bridgeInterface
            detectLocal.interfaceNamePrefix
            enableProfiling
            featureGates
            iptables.localhostNodePorts true
            iptables.masqueradeBit 14
            iptables.minSyncPeriod 1s
            iptables.syncPeriod 30s
            ipvs.excludeCIDRs
            ipvs.minSyncPeriod
            ipvs.scheduler
            ipvs.strictARP
            ipvs.syncPeriod 30s
            ipvs.tcpFinTimeout
            ipvs.tcpTimeout
            ipvs.udpTimeout
            logging.flushFrequency 5s
            logging.options
            logging.vmodule
            mode
            nftables.masqueradeBit 14
            nftables.minSyncPeriod 1s
            nftables.syncPeriod 30s
            oomScoreAdj -999
            portRange
            showHiddenMetricsForVersion
            udpIdleTimeout 250ms
            windowsRunAsService
            winkernel.enableDSR
            winkernel.forwardHealthCheckVip
            winkernel.networkName
            winkernel.rootHnsEndpointName
            winkernel.sourceVip
            """.lines()
            .map(line -> line.split(" "))
            .collect(Collectors.toUnmodifiableMap(words -> words[0], words -> words.length > 1 ? words[1] : ""));

    /** Looked at by themselves. */
    private static final Set<String> APART = Set.of("apiVersion", "kind", "bindAddress");

    private static final Set<String> KEYS = Stream.of(HONOURED.keySet(), WITHOUT_MEANING.keySet(), APART)
            .flatMap(Set::stream)
            .collect(Collectors.toUnmodifiableSet());

    private static final Set<String> SECTIONS = KEYS.stream()
            .filter(key -> key.contains("."))
            .map(key -> key.substring(0, key.indexOf('.')))
            .collect(Collectors.toUnmodifiableSet());

    private final JsonNode document;
    private final String file;
    private final Map<Setting<?>, Value> values = new TreeMap<>();
    private final List<String> problems = new ArrayList<>();
    private final List<String> warnings = new ArrayList<>();
    private final List<String> withoutMeaning = new ArrayList<>();

    /** @param document a mapping, of the right kind */
    KubeProxyDocument(JsonNode document, String file) {
        this.document = document;
        this.file = file;
        bindAddress(document.path("bindAddress"));
        mapping("", document);
    }

    /** What it sets, still as text. */
    Map<Setting<?>, Value> values() {
        return values;
    }

    /** A line for each thing it may not say. */
    List<String> problems() {
        return problems;
    }

    /** A line for each key that kube-proxy does not have. */
    List<String> warnings() {
        return warnings;
    }

    /** One line in all for what is set and has no meaning here; none if nothing is. */
    List<String> notes() {
        return withoutMeaning.isEmpty()
                ? List.of()
                : List.of(place("keys that have no meaning here: " + String.join(", ", withoutMeaning)));
    }

    private void mapping(String section, JsonNode mapping) {
        for (Map.Entry<String, JsonNode> property : mapping.properties()) {
            String path = section + property.getKey();
            JsonNode node = property.getValue();
            if (section.isEmpty() && SECTIONS.contains(path)) {
                section(path, node);
            } else if (!KEYS.contains(path) || property.getKey().contains(".")) {
                warnings.add(place(path + ": is not a key of kube-proxy's, and ignored" + suggestion(section, path)));
            } else if (HONOURED.containsKey(path) && countsIn(path)) {
                set(path, node, Objects.requireNonNull(HONOURED.get(path)));
            } else if (!APART.contains(path) && !isDefault(path, node)) {
                withoutMeaning.add(path);
            }
        }
    }

    private void section(String path, JsonNode node) {
        if (node.isObject()) {
            mapping(path + ".", node);
        } else if (!node.isNull()) {
            refuse(path, node, "a mapping");
        }
    }

    private void set(String path, JsonNode node, Mapping meaning) {
        List<String> texts = node.isNull() ? List.of() : meaning.texts().apply(node);
        if (texts == null) {
            refuse(path, node, meaning.allowed());
        } else if (meaning.setting() == Setting.KUBECONFIG && !areThere(texts)) {
            // Written for a pod, and read elsewhere: that it is not here is no mistake.
            withoutMeaning.add(path + " (there is no such file here)");
        } else if (!texts.isEmpty()) {
            values.put(meaning.setting(), value(path, texts));
        }
    }

    private static boolean areThere(List<String> files) {
        return files.stream().allMatch(file -> file.indexOf('\0') < 0 && Files.exists(Path.of(file)));
    }

    /** Each mode reads its own masqueradeAll, ipvs that of iptables; without a mode, either may ask for it. */
    private boolean countsIn(String path) {
        return switch (document.path("mode").asString("")) {
            case "nftables" -> !path.equals("iptables.masqueradeAll");
            case "iptables", "ipvs" -> !path.equals("nftables.masqueradeAll");
            default -> true;
        };
    }

    /** It binds nothing in kube-proxy either: it says which address of the node is primary, and the family of servers. */
    private void bindAddress(JsonNode node) {
        List<String> texts = node.isNull() || node.isMissingNode() ? List.of() : text(node);
        if (texts != null && texts.isEmpty()) {
            return;
        }
        IpAddress address = texts == null ? null : IpAddress.parse(texts.get(0).strip());
        if (address == null) {
            refuse("bindAddress", node, "an IPv4 or IPv6 address");
            return;
        }
        if (!address.isUnspecified()) {
            withoutMeaning.add("bindAddress (for the node's primary address, set nodeIPs)");
        }
        if (address.family() == Family.IPV6) {
            values.put(Setting.HEALTHZ_BIND_ADDRESS, value("bindAddress", List.of("[::]:" + HEALTHZ_PORT)));
            values.put(Setting.METRICS_BIND_ADDRESS, value("bindAddress", List.of("[::1]:" + METRICS_PORT)));
        }
    }

    private static @Nullable List<String> text(JsonNode node) {
        if (!node.isString()) {
            return null;
        }
        return node.stringValue().isEmpty() ? List.of() : List.of(node.stringValue());
    }

    private static @Nullable List<String> truth(JsonNode node) {
        if (!node.isBoolean()) {
            return null;
        }
        return node.booleanValue() ? List.of("true") : List.of();
    }

    private static @Nullable List<String> list(JsonNode node) {
        boolean texts = node.isArray() && node.valueStream().allMatch(JsonNode::isString);
        return texts ? node.valueStream().map(JsonNode::stringValue).toList() : null;
    }

    /** An address alone is enough for kube-proxy. */
    private static @Nullable List<String> withPort(JsonNode node, int port) {
        List<String> texts = text(node);
        if (texts == null || texts.isEmpty()) {
            return texts;
        }
        IpAddress address = IpAddress.parse(texts.get(0));
        return address == null ? texts : List.of(address.withPort(port));
    }

    private static @Nullable List<String> oneOfEachFamily(JsonNode node) {
        List<String> texts = text(node);
        if (texts == null || texts.isEmpty()) {
            return texts;
        }
        List<String> ranges =
                Arrays.stream(texts.get(0).split(",", -1)).map(String::strip).toList();
        long families = ranges.stream()
                .map(Cidr::parse)
                .filter(Objects::nonNull)
                .map(range -> range.network().family())
                .distinct()
                .count();
        return families == ranges.size() ? ranges : null;
    }

    /** kube-proxy tells what it does from 4 on, and each step of it from 6 on. */
    private static @Nullable List<String> level(JsonNode node) {
        if (!node.isIntegralNumber() || !node.canConvertToInt() || node.intValue() < 0) {
            return null;
        }
        int verbosity = node.intValue();
        if (verbosity == 0) {
            return List.of();
        }
        return List.of(verbosity < 4 ? "info" : verbosity < 6 ? "debug" : "trace");
    }

    private static boolean isDefault(String path, JsonNode node) {
        if (node.isContainer()) {
            return node.valueStream().allMatch(each -> isDefault(path, each));
        }
        // kube-proxy writes 24h0m0s for 24h.
        String text = node.asString("").replaceFirst("(?<=[hm])(0m)?0s$", "");
        return List.of("", "0", "0s", "false", WITHOUT_MEANING.getOrDefault(path, ""))
                .contains(text);
    }

    private static String suggestion(String section, String path) {
        List<String> keys = Stream.concat(KEYS.stream(), SECTIONS.stream())
                .filter(key -> key.startsWith(section) && key.indexOf('.', section.length()) < 0)
                .sorted()
                .toList();
        return Suggestion.among(keys, path);
    }

    private void refuse(String path, JsonNode node, String allowed) {
        problems.add(place(path) + ": " + ConfigurationFile.typeOf(node) + " is not allowed; give " + allowed);
    }

    private Value value(String path, List<String> texts) {
        return new Value(texts, "file " + file + " (" + KIND + ")", place(path));
    }

    private String place(String path) {
        return file + ": " + KIND + ": " + path;
    }
}
