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
    private record Mapping(Setting<?> setting, String allowed, Function<FieldReader, @Nullable List<String>> texts) {
        Mapping(Setting<?> setting, Function<FieldReader, @Nullable List<String>> texts) {
            this(setting, setting.allowed(), texts);
        }
    }

    private static final Map<String, Mapping> HONOURED = Map.ofEntries(
            entry("hostnameOverride", new Mapping(Setting.NODE_NAME, KubeProxyDocument::text)),
            entry(
                    "healthzBindAddress",
                    new Mapping(Setting.HEALTHZ_BIND_ADDRESS, field -> withPort(field, HEALTHZ_PORT))),
            entry(
                    "metricsBindAddress",
                    new Mapping(Setting.METRICS_BIND_ADDRESS, field -> withPort(field, METRICS_PORT))),
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

    private final FieldReader document;
    private final String file;
    private final Map<Setting<?>, Value> values = new TreeMap<>();
    private final List<Problem> warnings = new ArrayList<>();
    private final List<String> withoutMeaning = new ArrayList<>();

    /**
     * @param document a mapping, of the right kind
     * @param problems where those of it go that are no warnings
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

    /** What it sets, still as text. */
    Map<Setting<?>, Value> values() {
        return values;
    }

    /** A line for each key that kube-proxy does not have. */
    List<String> warnings() {
        return warnings.stream().map(Problem::toString).toList();
    }

    /** One line in all for what is set and has no meaning here; none if nothing is. */
    List<String> notes() {
        return withoutMeaning.isEmpty()
                ? List.of()
                : List.of(document.place() + ": keys that have no meaning here: " + String.join(", ", withoutMeaning));
    }

    private void mapping(String section, FieldReader mapping) {
        for (FieldReader field : mapping.fields()) {
            String path = field.path();
            if (section.isEmpty() && SECTIONS.contains(path)) {
                section(field);
            } else if (!KEYS.contains(path)) {
                field.warning("is not a key of kube-proxy's, and ignored" + suggestion(section, field.name()));
            } else if (HONOURED.containsKey(path) && countsIn(path)) {
                set(field, Objects.requireNonNull(HONOURED.get(path)));
            } else if (!APART.contains(path) && !isDefault(path, field)) {
                withoutMeaning.add(path);
            }
        }
    }

    private void section(FieldReader field) {
        if (field.isMapping()) {
            mapping(field.name() + ".", field);
        } else if (field.present()) {
            field.notAllowed("a mapping");
        }
    }

    private void set(FieldReader field, Mapping meaning) {
        List<String> texts = field.present() ? meaning.texts().apply(field) : List.of();
        if (texts == null) {
            field.notAllowed(meaning.allowed());
        } else if (meaning.setting() == Setting.KUBECONFIG && !areThere(texts)) {
            // Written for a pod, and read elsewhere: that it is not here is no mistake.
            withoutMeaning.add(field.path() + " (there is no such file here)");
        } else if (!texts.isEmpty()) {
            values.put(meaning.setting(), value(field, texts));
        }
    }

    private static boolean areThere(List<String> files) {
        return files.stream().allMatch(file -> file.indexOf('\0') < 0 && Files.exists(Path.of(file)));
    }

    /** Each mode reads its own masqueradeAll, ipvs that of iptables; without a mode, either may ask for it. */
    private boolean countsIn(String path) {
        return switch (document.get("mode").textIfAny()) {
            case "nftables" -> !path.equals("iptables.masqueradeAll");
            case "iptables", "ipvs" -> !path.equals("nftables.masqueradeAll");
            default -> true;
        };
    }

    /** It binds nothing in kube-proxy either: it says which address of the node is primary, and the family of servers. */
    private void bindAddress(FieldReader field) {
        List<String> texts = field.present() ? text(field) : List.of();
        if (texts != null && texts.isEmpty()) {
            return;
        }
        IpAddress address = texts == null ? null : IpAddress.parse(texts.get(0).strip());
        if (address == null) {
            field.notAllowed("an IPv4 or IPv6 address");
            return;
        }
        if (!address.isUnspecified()) {
            withoutMeaning.add("bindAddress (for the node's primary address, set nodeIPs)");
        }
        if (address.family() == Family.IPV6) {
            values.put(Setting.HEALTHZ_BIND_ADDRESS, value(field, List.of("[::]:" + HEALTHZ_PORT)));
            values.put(Setting.METRICS_BIND_ADDRESS, value(field, List.of("[::1]:" + METRICS_PORT)));
        }
    }

    private static @Nullable List<String> text(FieldReader field) {
        if (!field.isText()) {
            return null;
        }
        return field.textIfAny().isEmpty() ? List.of() : List.of(field.textIfAny());
    }

    private static @Nullable List<String> truth(FieldReader field) {
        if (!field.isBoolean()) {
            return null;
        }
        return field.scalar().equals("true") ? List.of("true") : List.of();
    }

    private static @Nullable List<String> list(FieldReader field) {
        boolean texts = field.isList() && field.items().stream().allMatch(FieldReader::isText);
        return texts ? field.texts() : null;
    }

    /** An address alone is enough for kube-proxy. */
    private static @Nullable List<String> withPort(FieldReader field, int port) {
        List<String> texts = text(field);
        if (texts == null || texts.isEmpty()) {
            return texts;
        }
        IpAddress address = IpAddress.parse(texts.get(0));
        return address == null ? texts : List.of(address.withPort(port));
    }

    private static @Nullable List<String> oneOfEachFamily(FieldReader field) {
        List<String> texts = text(field);
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
        return List.of("", "0", "0s", "false", WITHOUT_MEANING.getOrDefault(path, ""))
                .contains(text);
    }

    private static String suggestion(String section, String name) {
        List<String> keys = Stream.concat(KEYS.stream(), SECTIONS.stream())
                .filter(key -> key.startsWith(section) && key.indexOf('.', section.length()) < 0)
                .sorted()
                .toList();
        return Suggestion.among(keys, section + name);
    }

    private Value value(FieldReader field, List<String> texts) {
        return new Value(texts, "file " + file + " (" + KIND + ")", field.place());
    }
}
