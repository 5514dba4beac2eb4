package io.sluice.config;

import io.sluice.apiserver.ApiAccess;
import io.sluice.model.Cidr;
import io.sluice.model.IpAddress;
import io.sluice.node.RuleOptions;
import io.sluice.rules.BuildOptions.AddressMap;
import io.sluice.rules.NodePortAddresses;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.regex.Pattern;

/**
 * Every setting there is: its names, its default, and the only place that says what is allowed. File, environment and
 * flags all come here as text.
 *
 * <p>They are ordered as they are printed.
 *
 * @param <T> what a value is once it is read
 */
public final class Setting<T> implements Comparable<Setting<?>> {
    private static final int MAX_QUOTED = 60;
    private static final Pattern LABEL = Pattern.compile("[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?");

    /** Filled by what follows. */
    private static final List<Setting<?>> ALL = new ArrayList<>();

    public static final Setting<Path> FEED = one(
            "feed",
            List.of("--feed"),
            "PATH",
            "",
            "Manifests to serve: a file, or a folder whose *.yaml, *.yml and *.json are read. Followed: a change is in"
                    + " force at once.",
            ValueType.path("the path of a file or a folder"));

    public static final Setting<String> KUBECONFIG = one(
            "kubeconfig",
            List.of("--kubeconfig"),
            "FILE",
            "",
            "Instead of a feed: watch the API server of this kubeconfig; several with ':' between them. Without it, that"
                    + " of $KUBECONFIG, the pod's service account or ~/.kube/config.",
            ValueType.of("the path of a file, or several with ':' between them", SettingParsers::paths));

    public static final Setting<String> CONTEXT = one(
            "context",
            List.of("--context"),
            "NAME",
            "",
            "The context of the kubeconfig, instead of its current one.",
            ValueType.of("the name of a context", text -> text.isBlank() ? Optional.empty() : Optional.of(text)));

    public static final Setting<String> MASTER = many(
            "masters",
            List.of("--master"),
            "URL",
            "",
            "An API server, instead of that of a kubeconfig. May be repeated: the others are tried when one does not"
                    + " answer.",
            ValueType.of(
                    "a URL such as https://10.0.0.1:6443 or http://127.0.0.1:8001",
                    text -> ApiAccess.isServer(text) ? Optional.of(text) : Optional.empty()));

    public static final Setting<Path> TOKEN_FILE = one(
            "tokenFile",
            List.of("--token-file"),
            "FILE",
            "",
            "A token for the API server. Followed: one that is replaced is used at once.",
            ValueType.path("the path of a file"));

    public static final Setting<Path> CERTIFICATE_AUTHORITY = one(
            "certificateAuthority",
            List.of("--certificate-authority"),
            "FILE",
            "",
            "Whose certificates an API server may have (PEM). Followed, likewise.",
            ValueType.path("the path of a file"));

    public static final Setting<Boolean> INSECURE_SKIP_TLS_VERIFY = one(
            "insecureSkipTLSVerify",
            List.of("--insecure-skip-tls-verify"),
            "true|false",
            "false",
            "Believe whoever claims to be the API server.",
            ValueType.BOOLEAN);

    public static final Setting<String> ENDPOINTS_API = one(
            "endpointsApi",
            List.of("--endpoints-api"),
            "WHICH",
            "auto",
            "What endpoints are read from on an API server: endpointslices, endpoints, or auto for slices where it has"
                    + " them.",
            ValueType.choice("auto", "endpointslices", "endpoints"));

    public static final Setting<String> NODE_NAME = one(
            "nodeName",
            List.of("--node-name", "--hostname-override"),
            "NAME",
            SettingParsers::hostName,
            "This node's name in the cluster.",
            ValueType.of("a node name: letters, digits, '-' and '.', at most 253", SettingParsers::nodeName));

    public static final Setting<IpAddress> NODE_IP = many(
            "nodeIPs",
            List.of("--node-ip"),
            "IP",
            "",
            "All addresses of this node, the first of a family being its primary one. May be repeated. Without it, those"
                    + " of its Node object.",
            ValueType.of("an IPv4 or IPv6 address", SettingParsers::address));

    public static final Setting<Cidr> CLUSTER_CIDR = many(
            "clusterCIDR",
            List.of("--cluster-cidr"),
            "CIDR",
            "",
            "The range of the cluster's pods, one for each family. Without it, pods are not told from other clients.",
            ValueType.of(
                    "a range such as 10.244.0.0/16, or one for each family with a comma between",
                    text -> Optional.ofNullable(Cidr.parse(text.strip()))));

    public static final Setting<String> DETECT_LOCAL_MODE = one(
            "detectLocalMode",
            List.of("--detect-local-mode"),
            "MODE",
            "ClusterCIDR",
            "How pods are told from other clients: ClusterCIDR, or NodeCIDR for the podCIDRs of this node's Node object.",
            ValueType.of("ClusterCIDR or NodeCIDR", SettingParsers::detectLocalMode));

    public static final Setting<Cidr> SERVICE_CIDR = many(
            "serviceCIDR",
            List.of("--service-cidr"),
            "CIDR",
            "",
            "The range cluster IPs are taken from, beside ServiceCIDR objects; what is in it and belongs to nobody is"
                    + " dropped. May be repeated.",
            ValueType.of("a range such as 10.96.0.0/12", text -> Optional.ofNullable(Cidr.parse(text.strip()))));

    public static final Setting<NodePortAddresses> NODEPORT_ADDRESSES = many(
            "nodePortAddresses",
            List.of("--nodeport-addresses"),
            "WHERE",
            "primary",
            "Where node ports answer: ranges of this machine's addresses, primary (the Node's first), localhost, all (but"
                    + " loopback), in any mix.",
            ValueType.of("a range such as 192.168.0.0/16, primary, localhost or all", SettingParsers::nodePortAddress));

    public static final Setting<Boolean> MASQUERADE_ALL = one(
            "masqueradeAll",
            List.of("--masquerade-all"),
            "true|false",
            "false",
            "Endpoints see the node instead of the client, whoever dials a cluster IP.",
            ValueType.BOOLEAN);

    public static final Setting<String> SERVICE_PROXY_NAME = one(
            "serviceProxyName",
            List.of("--service-proxy-name"),
            "NAME",
            "",
            "Serve only Services whose label service.kubernetes.io/service-proxy-name is this, beside another proxy;"
                    + " Service ranges do not count then. Without it, only those without the label.",
            ValueType.matching("what a label may be: letters, digits, '-', '_' and '.', at most 63", LABEL));

    public static final Setting<String> MODE = one(
            "mode",
            List.of("--mode"),
            "MODE",
            "bind",
            "How packets get here. bind: the addresses must be this machine's already, as all of 127.0.0.0/8 are. node:"
                    + " rules in the kernel deliver what pods, this node and others send to Services.",
            ValueType.choice("bind", "node"));

    public static final Setting<Integer> MARK_BIT = one(
            "markBit",
            List.of("--mark-bit"),
            "N",
            String.valueOf(RuleOptions.DEFAULT.markBit()),
            "In node mode, the bit of packet marks that is ours; no other is touched.",
            ValueType.whole(0, 31));

    public static final Setting<Integer> ROUTING_TABLE = one(
            "routingTable",
            List.of("--routing-table"),
            "N",
            String.valueOf(RuleOptions.DEFAULT.routingTable()),
            "In node mode, the routing table that delivers marked packets here.",
            ValueType.whole(256, 999_999_999));

    public static final Setting<Integer> RULE_PRIORITY = one(
            "rulePriority",
            List.of("--rule-priority"),
            "N",
            String.valueOf(RuleOptions.DEFAULT.rulePriority()),
            "In node mode, the priority of the routing rule that leads there.",
            ValueType.whole(1, 32_765));

    public static final Setting<Boolean> KEEP_RULES_ON_EXIT = one(
            "keepRulesOnExit",
            List.of("--keep-rules-on-exit"),
            "true|false",
            "false",
            "In node mode, leave the rules behind: what was served is refused until the next start.",
            ValueType.BOOLEAN);

    public static final Setting<Path> HANDOVER_SOCKET = one(
            "handoverSocket",
            List.of("--handover-socket"),
            "PATH",
            "",
            "A Unix socket on which a successor takes over listeners, UDP flows and affinity, without a gap: the next"
                    + " process that is started with the same path. Nobody else should be able to enter its folder.",
            ValueType.path("the path of a file"));

    public static final Setting<Boolean> EXIT_AFTER_HANDOVER = one(
            "exitAfterHandover",
            List.of("--exit-after-handover"),
            "true|false",
            "true",
            "After a hand-over, end with the last open connection. false: then wait for SIGTERM, in a pod, whose kubelet"
                    + " would start it again, and it would take everything back.",
            ValueType.BOOLEAN);

    public static final Setting<AddressMap> MAP_FRONTENDS = many(
            "mapFrontends",
            List.of("--map-frontends"),
            "FROM=TO",
            "",
            "Listen for the addresses of range FROM at the same place in range TO, so that a dump of a real cluster"
                    + " runs on a laptop (example below). May be repeated; the first match counts.",
            ValueType.of(
                    "FROM=TO, two ranges of one family and size, such as 10.96.0.0/12=127.96.0.0/12",
                    SettingParsers::addressMap));

    public static final Setting<Integer> LOOPS = one(
            "loops",
            List.of("--loops"),
            "N",
            () -> String.valueOf(Math.min(Runtime.getRuntime().availableProcessors(), 8)),
            "Event loops that forward.",
            ValueType.whole(1, 64));

    public static final Setting<Boolean> BUSY_POLL = one(
            "busyPoll",
            List.of("--busy-poll"),
            "true|false",
            "true",
            "Have a loop that is nearly always needed again within 60 µs poll instead of sleep: less latency, for at most"
                    + " about twice the processor time.",
            ValueType.BOOLEAN);

    public static final Setting<Duration> CONNECT_TIMEOUT = one(
            "connectTimeout",
            List.of("--connect-timeout"),
            "TIME",
            "1500ms",
            "How long one endpoint may take to accept before the next is tried. The last or only one has until the connect"
                    + " deadline.",
            ValueType.duration(Duration.ofMillis(1), Duration.ofHours(1)));

    public static final Setting<Duration> CONNECT_DEADLINE = one(
            "connectDeadline",
            List.of("--connect-deadline"),
            "TIME",
            "10s",
            "How long a connection may take to reach an endpoint, over all attempts; then the client is reset.",
            ValueType.duration(Duration.ofMillis(1), Duration.ofHours(1)));

    public static final Setting<Integer> CONNECT_ATTEMPTS = one(
            "connectAttempts",
            List.of("--connect-attempts"),
            "N",
            "3",
            "How many endpoints are tried for one connection.",
            ValueType.whole(1, 100));

    public static final Setting<Duration> HALF_CLOSED_TIMEOUT = one(
            "halfClosedTimeout",
            List.of("--half-closed-timeout"),
            "TIME",
            "60s",
            "How long a connection may be closed in one direction and silent in the other.",
            ValueType.duration(Duration.ofSeconds(1), Duration.ofHours(24)));

    public static final Setting<Duration> TCP_KEEPALIVE_TIME = one(
            "tcpKeepaliveTime",
            List.of("--tcp-keepalive-time"),
            "TIME",
            "60s",
            "How long a TCP connection is idle before the kernel sends keep-alive probes, to clients and endpoints; in whole"
                    + " seconds.",
            ValueType.wholeSeconds(Duration.ofSeconds(1), Duration.ofHours(9)));

    public static final Setting<Duration> TCP_KEEPALIVE_INTERVAL = one(
            "tcpKeepaliveInterval",
            List.of("--tcp-keepalive-interval"),
            "TIME",
            "15s",
            "Time between keep-alive probes; in whole seconds.",
            ValueType.wholeSeconds(Duration.ofSeconds(1), Duration.ofHours(9)));

    public static final Setting<Integer> TCP_KEEPALIVE_PROBES = one(
            "tcpKeepaliveProbes",
            List.of("--tcp-keepalive-probes"),
            "N",
            "8",
            "After how many keep-alive probes without an answer a connection is reset.",
            ValueType.whole(1, 127));

    public static final Setting<Duration> STALLED_TIMEOUT = one(
            "stalledTimeout",
            List.of("--stalled-timeout"),
            "TIME",
            "180s",
            "How long a client or endpoint may send nothing while there is data for it, neither acknowledgements nor answers"
                    + " to window probes; then the connection is reset. One that only stops reading still answers them.",
            ValueType.wholeSeconds(Duration.ofSeconds(1), Duration.ofHours(24)));

    public static final Setting<Duration> UDP_UNREPLIED_TIMEOUT = one(
            "udpUnrepliedTimeout",
            List.of("--udp-unreplied-timeout"),
            "TIME",
            "30s",
            "How long a UDP flow lives that never got an answer.",
            ValueType.duration(Duration.ofSeconds(1), Duration.ofHours(24)));

    public static final Setting<Duration> UDP_REPLIED_TIMEOUT = one(
            "udpRepliedTimeout",
            List.of("--udp-replied-timeout"),
            "TIME",
            "120s",
            "How long a UDP flow lives, silent, that did.",
            ValueType.duration(Duration.ofSeconds(1), Duration.ofHours(24)));

    public static final Setting<Integer> MAX_FLOWS = one(
            "maxFlows",
            List.of("--max-flows"),
            "N",
            "0",
            "The most UDP flows at a time; 0 derives it from the limit of open files.",
            ValueType.whole(0, 1_000_000));

    public static final Setting<Integer> MAX_CLIENT_SHARE = one(
            "maxClientShare",
            List.of("--max-client-share"),
            "PERCENT",
            "25",
            "The most of the file descriptors, and of the UDP flows, that one client address may hold while more than"
                    + " 75 % are in use; 100 for no limit.",
            ValueType.whole(1, 100));

    public static final Setting<Duration> DRAIN_TIMEOUT = one(
            "drainTimeout",
            List.of("--drain-timeout"),
            "TIME",
            "30s",
            "How long open connections may go on after SIGTERM.",
            ValueType.duration(Duration.ZERO, Duration.ofHours(24)));

    public static final Setting<Optional<InetSocketAddress>> HEALTHZ_BIND_ADDRESS = one(
            "healthzBindAddress",
            List.of("--healthz-bind-address"),
            "IP:PORT",
            "0.0.0.0:10256",
            "Where /livez, /readyz and /healthz answer. Port 0 takes a free one and logs it; 'off' disables.",
            ValueType.of("IP:PORT or [IPv6]:PORT, or off", SettingParsers::bindAddress));

    public static final Setting<Optional<InetSocketAddress>> METRICS_BIND_ADDRESS = one(
            "metricsBindAddress",
            List.of("--metrics-bind-address"),
            "IP:PORT",
            "127.0.0.1:10249",
            "Where /metrics, /configz, /proxyMode and /debug/frontends answer; port 0 and 'off' as for health.",
            ValueType.of("IP:PORT or [IPv6]:PORT, or off", SettingParsers::bindAddress));

    public static final Setting<Boolean> BIND_ADDRESS_HARD_FAIL = one(
            "bindAddressHardFail",
            List.of("--bind-address-hard-fail"),
            "true|false",
            "false",
            "Do not start while the health or metrics port is taken; otherwise it is tried again.",
            ValueType.BOOLEAN);

    public static final Setting<Path> READY_FILE = one(
            "readyFile",
            List.of("--ready-file"),
            "FILE",
            "",
            "A file that is there exactly while /readyz says ready, for a probe that must not hear another process on"
                    + " the same port.",
            ValueType.path("the path of a file"));

    public static final Setting<String> LOG_FORMAT = one(
            "logFormat",
            List.of("--log-format"),
            "FORMAT",
            "text",
            "text or json, one line per event, to stderr.",
            ValueType.choice("text", "json"));

    public static final Setting<String> LOG_LEVEL = one(
            "logLevel",
            List.of("--log-level"),
            "LEVEL",
            "info",
            "error, warn, info, debug or trace.",
            ValueType.choice("error", "warn", "info", "debug", "trace"));

    private final int position;
    private final String key;
    private final List<String> flags;
    private final String label;
    private final Supplier<String> defaultText;
    private final String description;
    private final ValueType<T> type;
    private final boolean list;

    private Setting(
            String key,
            List<String> flags,
            String label,
            Supplier<String> defaultText,
            String description,
            ValueType<T> type,
            boolean list) {
        this.position = ALL.size();
        this.key = key;
        this.flags = flags;
        this.label = label;
        this.defaultText = defaultText;
        this.description = description;
        this.type = type;
        this.list = list;
    }

    private static <T> Setting<T> one(
            String key, List<String> flags, String label, String byDefault, String description, ValueType<T> type) {
        return added(new Setting<>(key, flags, label, () -> byDefault, description, type, false));
    }

    private static <T> Setting<T> one(
            String key,
            List<String> flags,
            String label,
            Supplier<String> byDefault,
            String description,
            ValueType<T> type) {
        return added(new Setting<>(key, flags, label, byDefault, description, type, false));
    }

    private static <T> Setting<T> many(
            String key, List<String> flags, String label, String byDefault, String description, ValueType<T> type) {
        return added(new Setting<>(key, flags, label, () -> byDefault, description, type, true));
    }

    private static <T> Setting<T> added(Setting<T> setting) {
        ALL.add(setting);
        return setting;
    }

    /** All of them, in order. */
    public static List<Setting<?>> values() {
        return Collections.unmodifiableList(ALL);
    }

    /** Its name in the configuration file. */
    String key() {
        return key;
    }

    /** Its name on the command line, other spellings behind it. */
    public List<String> flags() {
        return flags;
    }

    /** Its name in the environment. */
    String variable() {
        return "SLUICE_" + flags.get(0).substring(2).replace('-', '_').toUpperCase(Locale.ROOT);
    }

    /** What stands for its value in the help. */
    public String label() {
        return label;
    }

    /** Empty where nothing is set unless somebody sets it. */
    public String defaultText() {
        return defaultText.get();
    }

    public String description() {
        return description;
    }

    ValueType<T> type() {
        return type;
    }

    String allowed() {
        return type.allowed();
    }

    /** Whether it takes several values. */
    public boolean isList() {
        return list;
    }

    /** Whether its flag alone means true. */
    public boolean isBoolean() {
        return type.shape() == ValueType.Shape.BOOLEAN;
    }

    /** Whether its values are written without quotes in the file because they are numbers. */
    boolean isNumber() {
        return type.shape() == ValueType.Shape.NUMBER;
    }

    /** A text that somebody typed, cut where it gets long. */
    public static String quoted(String text) {
        return "'" + (text.length() <= MAX_QUOTED ? text : text.substring(0, MAX_QUOTED) + "...") + "'";
    }

    @Override
    public int compareTo(Setting<?> other) {
        return Integer.compare(position, other.position);
    }

    @Override
    public String toString() {
        return key;
    }
}
