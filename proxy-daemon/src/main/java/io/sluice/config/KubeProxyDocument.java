package io.sluice.config;

import static java.util.Map.entry;

import io.sluice.config.Configuration.Value;
import io.sluice.document.FieldReader;
import io.sluice.document.Problem;
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
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * Reads an unmodified {@code KubeProxyConfiguration}, such as kubeadm's {@code config.conf}. Applies the keys that
 * Sluice supports, lists other keys of kube-proxy in a note, and warns about keys that kube-proxy does not have.
 *
 * <p>As in kube-proxy, an empty or zero value means that the key is not set.
 */
final class KubeProxyDocument {
    static final String API_VERSION = "kubeproxy.config.k8s.io/v1alpha1";
    static final String KIND = "KubeProxyConfiguration";

    private static final int HEALTHZ_PORT = 10256;
    private static final int METRICS_PORT = 10249;

    /**
     * Maps a key of kube-proxy to a setting.
     *
     * @param allowed description of valid values, for error messages
     * @param strings converter to values of the setting; returns an empty list for an unset key, null for an invalid
     *     value
     */
    private record HonoredKey(
            Setting<?> setting, String allowed, Function<FieldReader, @Nullable List<String>> strings) {
        HonoredKey(Setting<?> setting, Function<FieldReader, @Nullable List<String>> strings) {
            this(setting, setting.allowed(), strings);
        }
    }

    private static final Map<String, HonoredKey> HONORED = Map.ofEntries(
            entry("hostnameOverride", new HonoredKey(Setting.NODE_NAME, KubeProxyDocument::string)),
            entry(
                    "healthzBindAddress",
                    new HonoredKey(Setting.HEALTHZ_BIND_ADDRESS, field -> withPort(field, HEALTHZ_PORT))),
            entry(
                    "metricsBindAddress",
                    new HonoredKey(Setting.METRICS_BIND_ADDRESS, field -> withPort(field, METRICS_PORT))),
            entry("bindAddressHardFail", new HonoredKey(Setting.BIND_ADDRESS_HARD_FAIL, KubeProxyDocument::trueOnly)),
            entry("clientConnection.kubeconfig", new HonoredKey(Setting.KUBECONFIG, KubeProxyDocument::string)),
            entry("clusterCIDR", new HonoredKey(Setting.CLUSTER_CIDR, KubeProxyDocument::onePerFamily)),
            entry("detectLocalMode", new HonoredKey(Setting.DETECT_LOCAL_MODE, KubeProxyDocument::string)),
            entry(
                    "nodePortAddresses",
                    new HonoredKey(
                            Setting.NODEPORT_ADDRESSES,
                            "a list, each item " + Setting.NODEPORT_ADDRESSES.allowed(),
                            KubeProxyDocument::list)),
            entry("iptables.masqueradeAll", new HonoredKey(Setting.MASQUERADE_ALL, KubeProxyDocument::trueOnly)),
            entry("nftables.masqueradeAll", new HonoredKey(Setting.MASQUERADE_ALL, KubeProxyDocument::trueOnly)),
            entry("logging.format", new HonoredKey(Setting.LOG_FORMAT, KubeProxyDocument::string)),
            entry(
                    "logging.verbosity",
                    new HonoredKey(Setting.LOG_LEVEL, "a whole number, 0 or more", KubeProxyDocument::level)));

    /** Keys without effect in Sluice, and their defaults. Defaults are not reported: kube-proxy writes them itself. */
    private static final Map<String, String> WITHOUT_EFFECT = """
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

    /** Keys that are handled separately. */
    private static final Set<String> SEPARATE = Set.of("apiVersion", "kind", "bindAddress");

    private static final Set<String> KEYS = Stream.of(HONORED.keySet(), WITHOUT_EFFECT.keySet(), SEPARATE)
            .flatMap(Set::stream)
            .collect(Collectors.toUnmodifiableSet());

    private static final Set<String> SECTIONS = KEYS.stream()
            .filter(key -> key.contains("."))
            .map(key -> key.substring(0, key.indexOf('.')))
            .collect(Collectors.toUnmodifiableSet());

    private final FieldReader document;
    private final String file;
    private final Map<Setting<?>, Value> values = new TreeMap<>();
    private final List<Problem> warnings = new ArrayList<>();
    private final List<String> withoutEffect = new ArrayList<>();

    /**
     * Creates an instance and reads all keys of a document.
     *
     * @param document a mapping of kind {@code KubeProxyConfiguration}
     * @param problems list to which errors are added; {@link #warnings} returns the warnings
     */
    KubeProxyDocument(JsonNode document, String file, List<Problem> problems) {
        List<Problem> found = new ArrayList<>();
        this.document = FieldReader.root(document, new FieldReader.Report(file, KIND, found));
        this.file = file;
        bindAddress(this.document.get("bindAddress"));
        mapping("", this.document);
        for (Problem problem : found) {
            (problem.severity() == Problem.Severity.WARNING ? warnings : problems).add(problem);
        }
    }

    /** The keys that Sluice supports, with their settings. */
    static Map<String, Setting<?>> honoredKeys() {
        return HONORED.entrySet().stream()
                .collect(Collectors.toUnmodifiableMap(
                        Map.Entry::getKey, each -> each.getValue().setting()));
    }

    /** The settings that the document sets, before parsing. */
    Map<Setting<?>, Value> values() {
        return values;
    }

    /** Warnings, one for each key that kube-proxy does not have. */
    List<String> warnings() {
        return warnings.stream().map(Problem::toString).toList();
    }

    /** One line that lists the keys without effect in Sluice; empty if there are no such keys. */
    List<String> notes() {
        return withoutEffect.isEmpty()
                ? List.of()
                : List.of(document.place() + ": keys without effect in Sluice: " + String.join(", ", withoutEffect));
    }

    private void mapping(String section, FieldReader mapping) {
        for (FieldReader field : mapping.fields()) {
            String path = field.path();
            if (section.isEmpty() && SECTIONS.contains(path)) {
                section(field);
            } else if (!KEYS.contains(path)) {
                field.warning("is not a key of kube-proxy, ignored" + suggestion(section, field.name()));
            } else if (HONORED.containsKey(path) && appliesInMode(path)) {
                set(field, Objects.requireNonNull(HONORED.get(path)));
            } else if (!SEPARATE.contains(path) && !isDefault(path, field)) {
                withoutEffect.add(path);
            }
        }
    }

    private void section(FieldReader field) {
        if (field.isMapping()) {
            mapping(field.name() + ".", field);
        } else if (field.present()) {
            field.invalid("a mapping");
        }
    }

    private void set(FieldReader field, HonoredKey honored) {
        List<String> strings = field.present() ? honored.strings().apply(field) : List.of();
        if (strings == null) {
            field.invalid(honored.allowed());
        } else if (honored.setting() == Setting.KUBECONFIG && !exist(strings)) {
            // The path refers to a file in kube-proxy's pod, so a missing file is not an error.
            withoutEffect.add(field.path() + " (file not found)");
        } else if (!strings.isEmpty()) {
            values.put(honored.setting(), value(field, strings));
        }
    }

    private static boolean exist(List<String> files) {
        return files.stream().allMatch(file -> file.indexOf('\0') < 0 && Files.exists(Path.of(file)));
    }

    /**
     * Whether a masqueradeAll key applies: that of nftables in nftables mode, that of iptables in iptables and ipvs
     * mode. If the mode is not set, both keys apply.
     */
    private boolean appliesInMode(String path) {
        return switch (document.get("mode").stringOrEmpty()) {
            case "nftables" -> !path.equals("iptables.masqueradeAll");
            case "iptables", "ipvs" -> !path.equals("nftables.masqueradeAll");
            default -> true;
        };
    }

    /**
     * Handles {@code bindAddress}. In kube-proxy, this key is not a listen address either: it selects the primary
     * address of the node and the address family of the health and metrics servers.
     */
    private void bindAddress(FieldReader field) {
        List<String> strings = field.present() ? string(field) : List.of();
        if (strings != null && strings.isEmpty()) {
            return;
        }
        IpAddress address =
                strings == null ? null : IpAddress.parse(strings.get(0).strip());
        if (address == null) {
            field.invalid("an IPv4 or IPv6 address");
            return;
        }
        if (!address.isUnspecified()) {
            withoutEffect.add("bindAddress (for the node's primary address, set nodeIPs in a SluiceConfiguration)");
        }
        if (address.family() == Family.IPV6) {
            values.put(Setting.HEALTHZ_BIND_ADDRESS, value(field, List.of("[::]:" + HEALTHZ_PORT)));
            values.put(Setting.METRICS_BIND_ADDRESS, value(field, List.of("[::1]:" + METRICS_PORT)));
        }
    }

    private static @Nullable List<String> string(FieldReader field) {
        if (!field.isString()) {
            return null;
        }
        return field.stringOrEmpty().isEmpty() ? List.of() : List.of(field.stringOrEmpty());
    }

    private static @Nullable List<String> trueOnly(FieldReader field) {
        if (!field.isBoolean()) {
            return null;
        }
        return field.scalar().equals("true") ? List.of("true") : List.of();
    }

    private static @Nullable List<String> list(FieldReader field) {
        boolean allStrings = field.isList() && field.items().stream().allMatch(FieldReader::isString);
        return allStrings ? field.strings() : null;
    }

    /** Adds the default port to an address without a port, which kube-proxy also accepts. */
    private static @Nullable List<String> withPort(FieldReader field, int port) {
        List<String> strings = string(field);
        if (strings == null || strings.isEmpty()) {
            return strings;
        }
        IpAddress address = IpAddress.parse(strings.get(0));
        return address == null ? strings : List.of(address.withPort(port));
    }

    private static @Nullable List<String> onePerFamily(FieldReader field) {
        List<String> strings = string(field);
        if (strings == null || strings.isEmpty()) {
            return strings;
        }
        List<String> ranges =
                Arrays.stream(strings.get(0).split(",", -1)).map(String::strip).toList();
        long families = ranges.stream()
                .map(Cidr::parse)
                .filter(Objects::nonNull)
                .map(range -> range.network().family())
                .distinct()
                .count();
        return families == ranges.size() ? ranges : null;
    }

    /** Converts a klog verbosity to a log level: 1 to 3 is info, 4 and 5 debug, 6 and above trace. */
    private static @Nullable List<String> level(FieldReader field) {
        Optional<Integer> level =
                field.isWholeNumber() ? ValueType.number(field.scalar(), 0, 999_999_999) : Optional.empty();
        if (level.isEmpty()) {
            return null;
        }
        int verbosity = level.get();
        if (verbosity == 0) {
            return List.of();
        }
        return List.of(verbosity < 4 ? "info" : verbosity < 6 ? "debug" : "trace");
    }

    private static boolean isDefault(String path, FieldReader field) {
        if (field.isMapping() || field.isList()) {
            List<FieldReader> parts = field.isList() ? field.items() : field.fields();
            return parts.stream().allMatch(each -> isDefault(path, each));
        }
        // kube-proxy writes 24h0m0s for 24h.
        String text = field.scalar().replaceFirst("(?<=[hm])(0m)?0s$", "");
        return List.of("", "0", "0s", "false", WITHOUT_EFFECT.getOrDefault(path, ""))
                .contains(text);
    }

    private static String suggestion(String section, String name) {
        List<String> keys = Stream.concat(KEYS.stream(), SECTIONS.stream())
                .filter(key -> key.startsWith(section) && key.indexOf('.', section.length()) < 0)
                .sorted()
                .toList();
        return Suggestion.among(keys, section + name);
    }

    private Value value(FieldReader field, List<String> strings) {
        return new Value(strings, "file " + file + " (" + KIND + ")", field.place());
    }
}
