package io.sluice.config;

import io.sluice.apiserver.ApiAccess;
import io.sluice.model.Cidr;
import io.sluice.model.IpAddress;
import io.sluice.node.RuleOptions;
import io.sluice.rules.BuildOptions.AddressMap;
import io.sluice.rules.NodePortAddresses;
import io.sluice.socket.UnixListener;
import io.sluice.socketlb.SocketLbOptions;
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
 * A setting with its names, default, description and valid values. The constants define all settings, in the order in
 * which they are printed. Files, environment variables and flags provide values as strings, which {@link #type} parses.
 *
 * @param <T> type of a parsed value
 */
public final class Setting<T> implements Comparable<Setting<?>> {
    private static final Pattern LABEL = Pattern.compile("[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?");

    /** All settings. The initializers of the constants below add their settings to this list. */
    private static final List<Setting<?>> ALL = new ArrayList<>();

    public static final Setting<Path> FEED = one(
            "feed",
            List.of("--feed"),
            "PATH",
            "",
            "Manifest file, or directory with *.yaml, *.yml and *.json manifests, that defines the Services to serve."
                    + " 'sluice run' watches it and applies changes.",
            ValueType.path("the path of a file or directory"));

    public static final Setting<String> KUBECONFIG = one(
            "kubeconfig",
            List.of("--kubeconfig"),
            "FILE",
            "",
            "Kubeconfig of the API server to watch, instead of a feed. Separate several files with ':'. Default:"
                    + " $KUBECONFIG, the service account of the pod, or ~/.kube/config.",
            ValueType.of("the path of a file, or several separated by ':'", SettingParsers::paths));

    public static final Setting<String> CONTEXT = one(
            "context",
            List.of("--context"),
            "NAME",
            "",
            "Context of the kubeconfig, instead of its current context.",
            ValueType.of("the name of a context", text -> text.isBlank() ? Optional.empty() : Optional.of(text)));

    public static final Setting<String> MASTER = many(
            "masters",
            List.of("--master"),
            "URL",
            "",
            "URL of an API server; overrides the server in the kubeconfig. May be repeated for failover.",
            ValueType.of(
                    "a URL such as https://10.0.0.1:6443 or http://127.0.0.1:8001",
                    text -> ApiAccess.isServer(text) ? Optional.of(text) : Optional.empty()));

    public static final Setting<Path> TOKEN_FILE = one(
            "tokenFile",
            List.of("--token-file"),
            "FILE",
            "",
            "File with a bearer token for the API server. Reloaded when it changes.",
            ValueType.path("the path of a file"));

    public static final Setting<Path> CERTIFICATE_AUTHORITY = one(
            "certificateAuthority",
            List.of("--certificate-authority"),
            "FILE",
            "",
            "CA bundle for the API server (PEM). Reloaded when the file changes.",
            ValueType.path("the path of a file"));

    public static final Setting<Boolean> INSECURE_SKIP_TLS_VERIFY = one(
            "insecureSkipTLSVerify",
            List.of("--insecure-skip-tls-verify"),
            "true|false",
            "false",
            "Skip TLS verification of the API server (insecure).",
            ValueType.BOOLEAN);

    public static final Setting<String> ENDPOINTS_API = one(
            "endpointsApi",
            List.of("--endpoints-api"),
            "WHICH",
            "auto",
            "API that endpoints are read from: endpointslices, endpoints, or auto for EndpointSlices if the API server"
                    + " supports them.",
            ValueType.choice("auto", "endpointslices", "endpoints"));

    public static final Setting<String> NODE_NAME = one(
            "nodeName",
            List.of("--node-name", "--hostname-override"),
            "NAME",
            SettingParsers::hostName,
            "host name",
            "Name of this node in the cluster.",
            ValueType.of(
                    "a node name: letters, digits, '-' and '.', at most 253 characters", SettingParsers::nodeName));

    public static final Setting<IpAddress> NODE_IP = many(
            "nodeIPs",
            List.of("--node-ip"),
            "IP",
            "",
            "Addresses of this node; the first of each family is the primary one. May be repeated. Default: the"
                    + " addresses of the Node object.",
            ValueType.of("an IPv4 or IPv6 address", SettingParsers::address));

    public static final Setting<Cidr> CLUSTER_CIDR = many(
            "clusterCIDR",
            List.of("--cluster-cidr"),
            "CIDR",
            "",
            "IP range of the cluster's pods, one for each address family. Without it, pods are not distinguished from"
                    + " other clients.",
            ValueType.of(
                    "a range such as 10.244.0.0/16, or one for each family, separated by a comma",
                    text -> Optional.ofNullable(Cidr.parse(text.strip()))));

    public static final Setting<String> DETECT_LOCAL_MODE = one(
            "detectLocalMode",
            List.of("--detect-local-mode"),
            "MODE",
            "ClusterCIDR",
            "How pods are distinguished from other clients: ClusterCIDR, or NodeCIDR for the podCIDRs of the Node"
                    + " object.",
            ValueType.of("ClusterCIDR or NodeCIDR", SettingParsers::detectLocalMode));

    public static final Setting<Cidr> SERVICE_CIDR = many(
            "serviceCIDR",
            List.of("--service-cidr"),
            "CIDR",
            "",
            "Range of ClusterIPs, in addition to ServiceCIDR objects. Packets to unallocated addresses in it are"
                    + " dropped. May be repeated.",
            ValueType.of("a range such as 10.96.0.0/12", text -> Optional.ofNullable(Cidr.parse(text.strip()))));

    public static final Setting<NodePortAddresses> NODEPORT_ADDRESSES = many(
            "nodePortAddresses",
            List.of("--nodeport-addresses"),
            "WHERE",
            "primary",
            "Addresses on which NodePorts are served: ranges of this machine's addresses, primary (first address of"
                    + " the Node), localhost, all (without loopback), or a combination.",
            ValueType.of("a range such as 192.168.0.0/16, primary, localhost or all", SettingParsers::nodePortAddress));

    public static final Setting<Boolean> MASQUERADE_ALL = one(
            "masqueradeAll",
            List.of("--masquerade-all"),
            "true|false",
            "false",
            "Masquerade all connections to ClusterIPs: endpoints see the node's address instead of the client's.",
            ValueType.BOOLEAN);

    public static final Setting<String> SERVICE_PROXY_NAME = one(
            "serviceProxyName",
            List.of("--service-proxy-name"),
            "NAME",
            "",
            "Serve only Services whose label service.kubernetes.io/service-proxy-name has this value, and ignore"
                    + " ServiceCIDRs, since another proxy serves other Services. Default: Services without the label.",
            ValueType.matching(
                    "a label value: at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends",
                    LABEL));

    public static final Setting<String> MODE = one(
            "mode",
            List.of("--mode"),
            "MODE",
            "bind",
            "How connections reach Sluice. bind: Sluice listens on addresses of this machine, including 127.0.0.0/8."
                    + " node: nftables rules redirect packets for Services from pods, this node and external clients.",
            ValueType.choice("bind", "node"));

    public static final Setting<Integer> MARK_BIT = one(
            "markBit",
            List.of("--mark-bit"),
            "N",
            String.valueOf(RuleOptions.DEFAULT.markBit()),
            "Bit of the packet mark that node mode uses. Other bits are not changed.",
            ValueType.whole(0, 31));

    public static final Setting<Integer> ROUTING_TABLE = one(
            "routingTable",
            List.of("--routing-table"),
            "N",
            String.valueOf(RuleOptions.DEFAULT.routingTable()),
            "Routing table that node mode uses to deliver marked packets locally.",
            ValueType.whole(256, 999_999_999));

    public static final Setting<Integer> RULE_PRIORITY = one(
            "rulePriority",
            List.of("--rule-priority"),
            "N",
            String.valueOf(RuleOptions.DEFAULT.rulePriority()),
            "Priority of the routing rule that selects --routing-table for marked packets in node mode.",
            ValueType.whole(1, 32_765));

    public static final Setting<Boolean> KEEP_RULES_ON_EXIT = one(
            "keepRulesOnExit",
            List.of("--keep-rules-on-exit"),
            "true|false",
            "false",
            "Keep the nftables rules of node mode on exit: connections to Services are rejected until the next start.",
            ValueType.BOOLEAN);

    public static final Setting<AddressMap> MAP_FRONTENDS = many(
            "mapFrontends",
            List.of("--map-frontends"),
            "FROM=TO",
            "",
            "Serve addresses of range FROM at the corresponding addresses of range TO, for example to run a dump of a"
                    + " real cluster on a laptop. May be repeated; the first match applies.",
            ValueType.of(
                    "FROM=TO, two ranges of the same family and size, such as 10.96.0.0/12=127.96.0.0/12",
                    SettingParsers::addressMap));

    public static final Setting<SocketLbOptions.Mode> SOCKET_LB = one(
            "socketLb",
            List.of("--socket-lb"),
            "MODE",
            "off",
            "Whether the endpoint of a TCP connection from this node to a ClusterIP is chosen when a process connects,"
                    + " so that no packet passes a proxy (node mode): off, auto if this machine supports it, or required"
                    + " to exit if it does not.",
            ValueType.of("off, auto or required", SettingParsers::socketLbMode));

    public static final Setting<Path> SOCKET_LB_CGROUP = one(
            "socketLbCgroup",
            List.of("--socket-lb-cgroup"),
            "PATH",
            "",
            "Directory of the cgroup (v2) whose processes are served. Default: the root cgroup of this machine, if"
                    + " /sys/fs/cgroup is that.",
            ValueType.absolutePath("directory"));

    public static final Setting<Path> SOCKET_LB_PINS = one(
            "socketLbPins",
            List.of("--socket-lb-pins"),
            "DIR",
            SocketLbOptions.DEFAULT_PINS.toString(),
            "Directory in a BPF file system for the programs, which serve new connections even while Sluice restarts.",
            ValueType.absolutePath("directory"));

    public static final Setting<Path> HANDOVER_SOCKET = one(
            "handoverSocket",
            List.of("--handover-socket"),
            "PATH",
            "",
            "Unix socket for a handover without downtime: the next process started with this path receives listeners,"
                    + " open connections, UDP flows and session affinity. Use a directory that only root or this user can write to.",
            ValueType.path("the path of a file"));

    public static final Setting<Boolean> EXIT_AFTER_HANDOVER = one(
            "exitAfterHandover",
            List.of("--exit-after-handover"),
            "true|false",
            "true",
            "Exit after a handover when the last connection has ended. Use false in a pod: the process then waits for"
                    + " SIGTERM. If it exited, the kubelet would restart the container, which would take the sockets"
                    + " back.",
            ValueType.BOOLEAN);

    public static final Setting<Path> HANDOVER_MARKER = one(
            "handoverMarker",
            List.of("--handover-marker"),
            "FILE",
            "",
            "With --exit-after-handover=false, the file that is written after a handover. A process that finds it, in a"
                    + " restarted container, stands by while another process listens on the handover socket. Use a"
                    + " directory of the pod (emptyDir).",
            ValueType.path("the path of a file"));

    public static final Setting<Duration> DRAIN_TIMEOUT = one(
            "drainTimeout",
            List.of("--drain-timeout"),
            "TIME",
            "30s",
            "How long established connections may continue after SIGTERM or a handover.",
            ValueType.duration(Duration.ZERO, Duration.ofHours(24)));

    public static final Setting<Integer> LOOPS = one(
            "loops",
            List.of("--loops"),
            "N",
            () -> String.valueOf(Math.min(Runtime.getRuntime().availableProcessors(), 8)),
            "number of processors, at most 8",
            "Number of event loops that forward traffic.",
            ValueType.whole(1, 64));

    public static final Setting<Boolean> BUSY_POLL = one(
            "busyPoll",
            List.of("--busy-poll"),
            "true|false",
            "true",
            "Poll instead of sleeping on an event loop whose events are mostly less than 60 µs apart. This reduces"
                    + " latency, but can use up to twice the CPU time.",
            ValueType.BOOLEAN);

    public static final Setting<Duration> CONNECT_TIMEOUT = one(
            "connectTimeout",
            List.of("--connect-timeout"),
            "TIME",
            "1500ms",
            "Timeout of one attempt to connect to an endpoint, after which the next endpoint is tried. The last or"
                    + " only endpoint gets the remaining time of the connect deadline.",
            ValueType.duration(Duration.ofMillis(1), Duration.ofHours(1)));

    public static final Setting<Duration> CONNECT_DEADLINE = one(
            "connectDeadline",
            List.of("--connect-deadline"),
            "TIME",
            "10s",
            "Total time for all attempts to connect to an endpoint, per client connection; after that the client"
                    + " connection is reset.",
            ValueType.duration(Duration.ofMillis(1), Duration.ofHours(1)));

    public static final Setting<Integer> CONNECT_ATTEMPTS = one(
            "connectAttempts",
            List.of("--connect-attempts"),
            "N",
            "3",
            "Maximum number of endpoints that may time out for one client connection. Endpoints that reject"
                    + " the connection do not count.",
            ValueType.whole(1, 100));

    public static final Setting<Duration> HALF_CLOSED_TIMEOUT = one(
            "halfClosedTimeout",
            List.of("--half-closed-timeout"),
            "TIME",
            "60s",
            "Idle timeout of a connection that is closed in one direction.",
            ValueType.duration(Duration.ofSeconds(1), Duration.ofHours(24)));

    public static final Setting<Duration> TCP_KEEPALIVE_TIME = one(
            "tcpKeepaliveTime",
            List.of("--tcp-keepalive-time"),
            "TIME",
            "60s",
            "Idle time before the kernel sends TCP keep-alive probes to clients and endpoints, in whole seconds.",
            ValueType.wholeSeconds(Duration.ofSeconds(1), Duration.ofHours(9)));

    public static final Setting<Duration> TCP_KEEPALIVE_INTERVAL = one(
            "tcpKeepaliveInterval",
            List.of("--tcp-keepalive-interval"),
            "TIME",
            "15s",
            "Interval between keep-alive probes, in whole seconds.",
            ValueType.wholeSeconds(Duration.ofSeconds(1), Duration.ofHours(9)));

    public static final Setting<Integer> TCP_KEEPALIVE_PROBES = one(
            "tcpKeepaliveProbes",
            List.of("--tcp-keepalive-probes"),
            "N",
            "8",
            "Number of unacknowledged keep-alive probes after which a connection is reset.",
            ValueType.whole(1, 127));

    public static final Setting<Duration> STALLED_TIMEOUT = one(
            "stalledTimeout",
            List.of("--stalled-timeout"),
            "TIME",
            "180s",
            "Reset a connection if its peer has sent nothing for this long while data for the peer is unacknowledged."
                    + " A peer that only stops reading still acknowledges window probes and is not affected.",
            ValueType.wholeSeconds(Duration.ofSeconds(1), Duration.ofHours(24)));

    public static final Setting<Duration> UDP_UNREPLIED_TIMEOUT = one(
            "udpUnrepliedTimeout",
            List.of("--udp-unreplied-timeout"),
            "TIME",
            "30s",
            "Idle timeout for UDP flows that have had no reply yet.",
            ValueType.duration(Duration.ofSeconds(1), Duration.ofHours(24)));

    public static final Setting<Duration> UDP_REPLIED_TIMEOUT = one(
            "udpRepliedTimeout",
            List.of("--udp-replied-timeout"),
            "TIME",
            "120s",
            "Idle timeout for UDP flows that have had a reply.",
            ValueType.duration(Duration.ofSeconds(1), Duration.ofHours(24)));

    public static final Setting<Integer> MAX_FLOWS = one(
            "maxFlows",
            List.of("--max-flows"),
            "N",
            "0",
            "Maximum number of UDP flows; 0 derives it from the limits on open files and local ports.",
            ValueType.whole(0, 1_000_000));

    public static final Setting<Integer> MAX_CLIENT_SHARE = one(
            "maxClientShare",
            List.of("--max-client-share"),
            "PERCENT",
            "25",
            "Maximum share of file descriptors and UDP flows for one client address while more than 75 % are in use;"
                    + " 100 for no limit.",
            ValueType.whole(1, 100));

    public static final Setting<Optional<InetSocketAddress>> HEALTHZ_BIND_ADDRESS = one(
            "healthzBindAddress",
            List.of("--healthz-bind-address"),
            "IP:PORT",
            "0.0.0.0:10256",
            "Address of /livez, /readyz and /healthz. Port 0 selects and logs a free port; 'off' disables the server.",
            ValueType.of("IP:PORT, [IPv6]:PORT or off", SettingParsers::bindAddress));

    public static final Setting<Optional<InetSocketAddress>> METRICS_BIND_ADDRESS = one(
            "metricsBindAddress",
            List.of("--metrics-bind-address"),
            "IP:PORT",
            "127.0.0.1:10249",
            "Address of /metrics, /configz, /proxyMode and /debug/frontends. Port 0 and 'off' have the same meaning as"
                    + " for --healthz-bind-address.",
            ValueType.of("IP:PORT, [IPv6]:PORT or off", SettingParsers::bindAddress));

    public static final Setting<Boolean> ENDPOINT_METRICS = one(
            "endpointMetrics",
            List.of("--endpoint-metrics"),
            "true|false",
            "false",
            "Report the metrics sluice_endpoint_... of all endpoints, not only of those that have failed.",
            ValueType.BOOLEAN);

    public static final Setting<Boolean> BIND_ADDRESS_HARD_FAIL = one(
            "bindAddressHardFail",
            List.of("--bind-address-hard-fail"),
            "true|false",
            "false",
            "Exit if the health or metrics port is already in use, instead of retrying.",
            ValueType.BOOLEAN);

    public static final Setting<Optional<InetSocketAddress>> ADMIN_BIND_ADDRESS = one(
            "adminBindAddress",
            List.of("--admin-bind-address"),
            "IP:PORT",
            "127.0.0.1:10261",
            "Address of the status page and the read-only admin API, without authentication. Port 0 selects and logs a"
                    + " free port; 'off' disables the server.",
            ValueType.of("IP:PORT, [IPv6]:PORT or off", SettingParsers::bindAddress));

    public static final Setting<String> ADMIN_HOST = many(
            "adminHosts",
            List.of("--admin-host"),
            "NAME",
            "",
            "Host name by which browsers reach --admin-bind-address. Requests with any other host than an IP address"
                    + " or localhost are rejected. May be repeated.",
            ValueType.of("a host name without a port", SettingParsers::hostNameInUrl));

    public static final Setting<Optional<Path>> ADMIN_SOCKET = one(
            "adminSocket",
            List.of("--admin-socket"),
            "PATH",
            "",
            "Unix socket of the admin API, which also accepts changes. Only root and the user of this process can"
                    + " connect. 'off' disables it. Default: " + SettingParsers.DEFAULT_ADMIN_SOCKET
                    + " in node mode, otherwise none.",
            ValueType.of(
                    "off or the path of a Unix socket, at most " + UnixListener.MAX_PATH_BYTES + " bytes",
                    SettingParsers::socketPath));

    public static final Setting<Path> READY_FILE = one(
            "readyFile",
            List.of("--ready-file"),
            "FILE",
            "",
            "File that exists only while /readyz returns 200. Use it for probes when two processes share the health"
                    + " port.",
            ValueType.path("the path of a file"));

    public static final Setting<Path> CONNECTION_LOG = one(
            "connectionLog",
            List.of("--connection-log"),
            "FILE",
            "",
            "File to which one line of JSON is appended for each finished connection or UDP flow; '-' for stdout. May be"
                    + " renamed, deleted or truncated at any time, as logrotate does.",
            ValueType.path("the path of a file, or - for stdout"));

    public static final Setting<String> LOG_FORMAT = one(
            "logFormat",
            List.of("--log-format"),
            "FORMAT",
            "text",
            "Format of the log on stderr, one line for each event: text or json.",
            ValueType.choice("text", "json"));

    public static final Setting<String> LOG_LEVEL = one(
            "logLevel",
            List.of("--log-level"),
            "LEVEL",
            "info",
            "Log level: error, warn, info, debug or trace.",
            ValueType.choice("error", "warn", "info", "debug", "trace"));

    private final int position;
    private final String key;
    private final List<String> flags;
    private final String label;
    private final Supplier<String> defaultText;
    private final String machineDefault;
    private final String description;
    private final ValueType<T> type;
    private final boolean list;

    private Setting(
            String key,
            List<String> flags,
            String label,
            Supplier<String> defaultText,
            String machineDefault,
            String description,
            ValueType<T> type,
            boolean list) {
        this.position = ALL.size();
        this.key = key;
        this.flags = flags;
        this.label = label;
        this.defaultText = defaultText;
        this.machineDefault = machineDefault;
        this.description = description;
        this.type = type;
        this.list = list;
    }

    private static <T> Setting<T> one(
            String key, List<String> flags, String label, String defaultText, String description, ValueType<T> type) {
        return added(new Setting<>(key, flags, label, () -> defaultText, "", description, type, false));
    }

    private static <T> Setting<T> one(
            String key,
            List<String> flags,
            String label,
            Supplier<String> defaultText,
            String machineDefault,
            String description,
            ValueType<T> type) {
        return added(new Setting<>(key, flags, label, defaultText, machineDefault, description, type, false));
    }

    private static <T> Setting<T> many(
            String key, List<String> flags, String label, String defaultText, String description, ValueType<T> type) {
        return added(new Setting<>(key, flags, label, () -> defaultText, "", description, type, true));
    }

    private static <T> Setting<T> added(Setting<T> setting) {
        ALL.add(setting);
        return setting;
    }

    /** All settings, in order. */
    public static List<Setting<?>> values() {
        return Collections.unmodifiableList(ALL);
    }

    /** The key in the configuration file. */
    String key() {
        return key;
    }

    /** The flag, followed by its aliases. */
    public List<String> flags() {
        return flags;
    }

    /** The name of the environment variable. */
    String variable() {
        return "SLUICE_" + flags.get(0).substring(2).replace('-', '_').toUpperCase(Locale.ROOT);
    }

    /** The placeholder of the value in the help. */
    public String label() {
        return label;
    }

    /** The default before parsing; empty if the setting has none. */
    public String defaultText() {
        return defaultText.get();
    }

    /** The default in the help and the documentation, which are the same on every machine; empty if there is none. */
    public String documentedDefault() {
        return machineDefault.isEmpty() ? defaultText() : machineDefault;
    }

    /** The description in the help. */
    public String description() {
        return description;
    }

    ValueType<T> type() {
        return type;
    }

    String allowed() {
        return type.allowed();
    }

    /** Whether the setting takes a list of values. */
    public boolean isList() {
        return list;
    }

    /** Whether the setting is a boolean. The flag of a boolean setting means true if it has no value. */
    public boolean isBoolean() {
        return type.shape() == ValueType.Shape.BOOLEAN;
    }

    /** Whether the value is a number in the configuration file. */
    boolean isNumber() {
        return type.shape() == ValueType.Shape.NUMBER;
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
