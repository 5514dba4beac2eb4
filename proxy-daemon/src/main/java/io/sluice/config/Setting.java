package io.sluice.config;

import io.sluice.apiserver.ApiAccess;
import io.sluice.model.Cidr;
import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import io.sluice.node.RuleOptions;
import io.sluice.rules.BuildOptions.AddressMap;
import io.sluice.rules.NodePortAddresses;
import java.io.File;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Every setting there is: its names, its default, and the only place that says what is allowed. File, environment and
 * flags all come here as text.
 *
 * <p>The order is the one in which settings are printed.
 */
@SuppressWarnings("ImmutableEnumChecker") // the lists are List.of, the functions keep no state
public enum Setting {
    FEED(
            "feed",
            List.of("--feed"),
            "PATH",
            "",
            "Manifests to serve: a file, or a folder whose *.yaml, *.yml and *.json are read. Followed: a change is in"
                    + " force at once.",
            "the path of a file or a folder",
            Setting::path),
    KUBECONFIG(
            "kubeconfig",
            List.of("--kubeconfig"),
            "FILE",
            "",
            "Instead of a feed: watch the API server of this kubeconfig; several with ':' between them. Without it, that"
                    + " of $KUBECONFIG, the pod's service account or ~/.kube/config.",
            "the path of a file, or several with ':' between them",
            Setting::paths),
    CONTEXT(
            "context",
            List.of("--context"),
            "NAME",
            "",
            "The context of the kubeconfig, instead of its current one.",
            "the name of a context",
            text -> text.isBlank() ? Optional.empty() : Optional.of(text)),
    MASTER(
            "masters",
            List.of("--master"),
            "URL",
            "",
            "An API server, instead of that of a kubeconfig. May be repeated: the others are tried when one does not"
                    + " answer.",
            "a URL such as https://10.0.0.1:6443 or http://127.0.0.1:8001",
            text -> ApiAccess.isServer(text) ? Optional.of(text) : Optional.empty()),
    TOKEN_FILE(
            "tokenFile",
            List.of("--token-file"),
            "FILE",
            "",
            "A token for the API server. Followed: one that is replaced is used at once.",
            "the path of a file",
            Setting::path),
    CERTIFICATE_AUTHORITY(
            "certificateAuthority",
            List.of("--certificate-authority"),
            "FILE",
            "",
            "Whose certificates an API server may have (PEM). Followed, likewise.",
            "the path of a file",
            Setting::path),
    INSECURE_SKIP_TLS_VERIFY(
            "insecureSkipTLSVerify",
            List.of("--insecure-skip-tls-verify"),
            "true|false",
            "false",
            "Believe whoever claims to be the API server.",
            "true or false",
            Setting::truth),
    ENDPOINTS_API(
            "endpointsApi",
            List.of("--endpoints-api"),
            "WHICH",
            "auto",
            "What endpoints are read from on an API server: endpointslices, endpoints, or auto for slices where it has"
                    + " them.",
            "auto, endpointslices or endpoints",
            choice("auto", "endpointslices", "endpoints")),
    NODE_NAME(
            "nodeName",
            List.of("--node-name", "--hostname-override"),
            "NAME",
            Setting::hostName,
            "This node's name in the cluster.",
            "a node name: letters, digits, '-' and '.', at most 253",
            Setting::nodeName),
    NODE_IP(
            "nodeIPs",
            List.of("--node-ip"),
            "IP",
            "",
            "All addresses of this node, the first of a family being its primary one. May be repeated. Without it, those"
                    + " of its Node object.",
            "an IPv4 or IPv6 address",
            Setting::address),
    CLUSTER_CIDR(
            "clusterCIDR",
            List.of("--cluster-cidr"),
            "CIDR",
            "",
            "The range of the cluster's pods, one for each family. Without it, pods are not told from other clients.",
            "a range such as 10.244.0.0/16, or one for each family with a comma between",
            Setting::cidr),
    DETECT_LOCAL_MODE(
            "detectLocalMode",
            List.of("--detect-local-mode"),
            "MODE",
            "ClusterCIDR",
            "How pods are told from other clients: ClusterCIDR, or NodeCIDR for the podCIDRs of this node's Node object.",
            "ClusterCIDR or NodeCIDR",
            Setting::detectLocalMode),
    SERVICE_CIDR(
            "serviceCIDR",
            List.of("--service-cidr"),
            "CIDR",
            "",
            "The range cluster IPs are taken from, beside ServiceCIDR objects; what is in it and belongs to nobody is"
                    + " dropped. May be repeated.",
            "a range such as 10.96.0.0/12",
            Setting::cidr),
    NODEPORT_ADDRESSES(
            "nodePortAddresses",
            List.of("--nodeport-addresses"),
            "WHERE",
            "primary",
            "Where node ports answer: ranges of this machine's addresses, primary (the Node's first), localhost, all (but"
                    + " loopback), in any mix.",
            "a range such as 192.168.0.0/16, primary, localhost or all",
            Setting::nodePortAddress),
    MASQUERADE_ALL(
            "masqueradeAll",
            List.of("--masquerade-all"),
            "true|false",
            "false",
            "Endpoints see the node instead of the client, whoever dials a cluster IP.",
            "true or false",
            Setting::truth),
    SERVICE_PROXY_NAME(
            "serviceProxyName",
            List.of("--service-proxy-name"),
            "NAME",
            "",
            "Serve only Services whose label service.kubernetes.io/service-proxy-name is this, beside another proxy;"
                    + " Service ranges do not count then. Without it, only those without the label.",
            "what a label may be: letters, digits, '-', '_' and '.', at most 63",
            Setting::labelValue),
    MODE(
            "mode",
            List.of("--mode"),
            "MODE",
            "bind",
            "How packets get here. bind: the addresses must be this machine's already, as all of 127.0.0.0/8 are. node:"
                    + " rules in the kernel deliver what pods, this node and others send to Services.",
            "bind or node",
            choice("bind", "node")),
    MARK_BIT(
            "markBit",
            List.of("--mark-bit"),
            "N",
            String.valueOf(RuleOptions.DEFAULT.markBit()),
            "In node mode, the bit of packet marks that is ours; no other is touched.",
            "a whole number, 0 to 31",
            whole(0, 31)),
    ROUTING_TABLE(
            "routingTable",
            List.of("--routing-table"),
            "N",
            String.valueOf(RuleOptions.DEFAULT.routingTable()),
            "In node mode, the routing table that delivers marked packets here.",
            "a whole number, 256 to 999999999",
            whole(256, 999_999_999)),
    RULE_PRIORITY(
            "rulePriority",
            List.of("--rule-priority"),
            "N",
            String.valueOf(RuleOptions.DEFAULT.rulePriority()),
            "In node mode, the priority of the routing rule that leads there.",
            "a whole number, 1 to 32765",
            whole(1, 32_765)),
    KEEP_RULES_ON_EXIT(
            "keepRulesOnExit",
            List.of("--keep-rules-on-exit"),
            "true|false",
            "false",
            "In node mode, leave the rules behind: what was served is refused until the next start.",
            "true or false",
            Setting::truth),
    HANDOVER_SOCKET(
            "handoverSocket",
            List.of("--handover-socket"),
            "PATH",
            "",
            "A Unix socket on which a successor takes over listeners, UDP flows and affinity, without a gap: the next"
                    + " process that is started with the same path. Nobody else should be able to enter its folder.",
            "the path of a file",
            Setting::path),
    EXIT_AFTER_HANDOVER(
            "exitAfterHandover",
            List.of("--exit-after-handover"),
            "true|false",
            "true",
            "After a hand-over, end with the last open connection. false: then wait for SIGTERM, in a pod, whose kubelet"
                    + " would start it again, and it would take everything back.",
            "true or false",
            Setting::truth),
    MAP_FRONTENDS(
            "mapFrontends",
            List.of("--map-frontends"),
            "FROM=TO",
            "",
            "Listen for the addresses of range FROM at the same place in range TO, so that a dump of a real cluster"
                    + " runs on a laptop (example below). May be repeated; the first match counts.",
            "FROM=TO, two ranges of one family and size, such as 10.96.0.0/12=127.96.0.0/12",
            Setting::addressMap),
    LOOPS(
            "loops",
            List.of("--loops"),
            "N",
            () -> String.valueOf(Math.min(Runtime.getRuntime().availableProcessors(), 8)),
            "Event loops that forward.",
            "a whole number, 1 to 64",
            whole(1, 64)),
    BUSY_POLL(
            "busyPoll",
            List.of("--busy-poll"),
            "true|false",
            "true",
            "Have a loop that is nearly always needed again within 60 µs poll instead of sleep: less latency, for at most"
                    + " about twice the processor time.",
            "true or false",
            Setting::truth),
    CONNECT_TIMEOUT(
            "connectTimeout",
            List.of("--connect-timeout"),
            "TIME",
            "1500ms",
            "How long one endpoint may take to accept before the next is tried. The last or only one has until the connect"
                    + " deadline.",
            "a time such as 500ms, 30s, 5m or 1h, 1ms to 1h",
            time(Duration.ofMillis(1), Duration.ofHours(1))),
    CONNECT_DEADLINE(
            "connectDeadline",
            List.of("--connect-deadline"),
            "TIME",
            "10s",
            "How long a connection may take to reach an endpoint, over all attempts; then the client is reset.",
            "a time such as 500ms, 30s, 5m or 1h, 1ms to 1h",
            time(Duration.ofMillis(1), Duration.ofHours(1))),
    CONNECT_ATTEMPTS(
            "connectAttempts",
            List.of("--connect-attempts"),
            "N",
            "3",
            "How many endpoints are tried for one connection.",
            "a whole number, 1 to 100",
            whole(1, 100)),
    HALF_CLOSED_TIMEOUT(
            "halfClosedTimeout",
            List.of("--half-closed-timeout"),
            "TIME",
            "60s",
            "How long a connection may be closed in one direction and silent in the other.",
            "a time such as 500ms, 30s, 5m or 1h, 1s to 24h",
            time(Duration.ofSeconds(1), Duration.ofHours(24))),
    TCP_KEEPALIVE_TIME(
            "tcpKeepaliveTime",
            List.of("--tcp-keepalive-time"),
            "TIME",
            "60s",
            "How long a TCP connection is idle before the kernel sends keep-alive probes, to clients and endpoints; in whole"
                    + " seconds.",
            "a time such as 30s, 5m or 1h, 1s to 9h",
            time(Duration.ofSeconds(1), Duration.ofHours(9))),
    TCP_KEEPALIVE_INTERVAL(
            "tcpKeepaliveInterval",
            List.of("--tcp-keepalive-interval"),
            "TIME",
            "15s",
            "Time between keep-alive probes; in whole seconds.",
            "a time such as 30s, 5m or 1h, 1s to 9h",
            time(Duration.ofSeconds(1), Duration.ofHours(9))),
    TCP_KEEPALIVE_PROBES(
            "tcpKeepaliveProbes",
            List.of("--tcp-keepalive-probes"),
            "N",
            "8",
            "After how many keep-alive probes without an answer a connection is reset.",
            "a whole number, 1 to 127",
            whole(1, 127)),
    STALLED_TIMEOUT(
            "stalledTimeout",
            List.of("--stalled-timeout"),
            "TIME",
            "180s",
            "How long a client or endpoint may send nothing while there is data for it, neither acknowledgements nor answers"
                    + " to window probes; then the connection is reset. One that only stops reading still answers them.",
            "a time such as 30s, 5m or 1h, 1s to 24h",
            time(Duration.ofSeconds(1), Duration.ofHours(24))),
    UDP_UNREPLIED_TIMEOUT(
            "udpUnrepliedTimeout",
            List.of("--udp-unreplied-timeout"),
            "TIME",
            "30s",
            "How long a UDP flow lives that never got an answer.",
            "a time such as 500ms, 30s, 5m or 1h, 1s to 24h",
            time(Duration.ofSeconds(1), Duration.ofHours(24))),
    UDP_REPLIED_TIMEOUT(
            "udpRepliedTimeout",
            List.of("--udp-replied-timeout"),
            "TIME",
            "120s",
            "How long a UDP flow lives, silent, that did.",
            "a time such as 500ms, 30s, 5m or 1h, 1s to 24h",
            time(Duration.ofSeconds(1), Duration.ofHours(24))),
    MAX_FLOWS(
            "maxFlows",
            List.of("--max-flows"),
            "N",
            "0",
            "The most UDP flows at a time; 0 derives it from the limit of open files.",
            "a whole number, 0 to 1000000",
            whole(0, 1_000_000)),
    MAX_CLIENT_SHARE(
            "maxClientShare",
            List.of("--max-client-share"),
            "PERCENT",
            "25",
            "The most of the file descriptors, and of the UDP flows, that one client address may hold while more than"
                    + " 75 % are in use; 100 for no limit.",
            "a whole number, 1 to 100",
            whole(1, 100)),
    DRAIN_TIMEOUT(
            "drainTimeout",
            List.of("--drain-timeout"),
            "TIME",
            "30s",
            "How long open connections may go on after SIGTERM.",
            "a time such as 500ms, 30s, 5m or 1h, 0s to 24h",
            time(Duration.ZERO, Duration.ofHours(24))),
    HEALTHZ_BIND_ADDRESS(
            "healthzBindAddress",
            List.of("--healthz-bind-address"),
            "IP:PORT",
            "0.0.0.0:10256",
            "Where /livez, /readyz and /healthz answer. Port 0 takes a free one and logs it; 'off' disables.",
            "IP:PORT or [IPv6]:PORT, or off",
            Setting::bindAddress),
    METRICS_BIND_ADDRESS(
            "metricsBindAddress",
            List.of("--metrics-bind-address"),
            "IP:PORT",
            "127.0.0.1:10249",
            "Where /metrics, /configz, /proxyMode and /debug/frontends answer; port 0 and 'off' as for health.",
            "IP:PORT or [IPv6]:PORT, or off",
            Setting::bindAddress),
    BIND_ADDRESS_HARD_FAIL(
            "bindAddressHardFail",
            List.of("--bind-address-hard-fail"),
            "true|false",
            "false",
            "Do not start while the health or metrics port is taken; otherwise it is tried again.",
            "true or false",
            Setting::truth),
    READY_FILE(
            "readyFile",
            List.of("--ready-file"),
            "FILE",
            "",
            "A file that is there exactly while /readyz says ready, for a probe that must not hear another process on"
                    + " the same port.",
            "the path of a file",
            Setting::path),
    LOG_FORMAT(
            "logFormat",
            List.of("--log-format"),
            "FORMAT",
            "text",
            "text or json, one line per event, to stderr.",
            "text or json",
            choice("text", "json")),
    LOG_LEVEL(
            "logLevel",
            List.of("--log-level"),
            "LEVEL",
            "info",
            "error, warn, info, debug or trace.",
            "error, warn, info, debug or trace",
            choice("error", "warn", "info", "debug", "trace"));

    private static final int MAX_QUOTED = 60;

    private static final Pattern TIME = Pattern.compile("(\\d{1,9})(ms|s|m|h)");
    private static final Pattern LABELS = Pattern.compile("[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?");
    private static final Pattern NODE_NAMES = Pattern.compile("[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?");

    private final String key;
    private final List<String> flags;
    private final String label;
    private final Supplier<String> defaultText;
    private final String description;
    private final String allowed;
    private final Function<String, Optional<?>> parser;

    Setting(
            String key,
            List<String> flags,
            String label,
            String defaultText,
            String description,
            String allowed,
            Function<String, Optional<?>> parser) {
        this(key, flags, label, () -> defaultText, description, allowed, parser);
    }

    Setting(
            String key,
            List<String> flags,
            String label,
            Supplier<String> defaultText,
            String description,
            String allowed,
            Function<String, Optional<?>> parser) {
        this.key = key;
        this.flags = flags;
        this.label = label;
        this.defaultText = defaultText;
        this.description = description;
        this.allowed = allowed;
        this.parser = parser;
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

    String allowed() {
        return allowed;
    }

    /** Whether it takes several values. */
    public boolean isList() {
        return switch (this) {
            case MAP_FRONTENDS, MASTER, NODE_IP, CLUSTER_CIDR, SERVICE_CIDR, NODEPORT_ADDRESSES -> true;
            default -> false;
        };
    }

    /** Whether its flag alone means true. */
    public boolean isTruth() {
        return switch (this) {
            case BUSY_POLL,
                    MASQUERADE_ALL,
                    BIND_ADDRESS_HARD_FAIL,
                    INSECURE_SKIP_TLS_VERIFY,
                    KEEP_RULES_ON_EXIT,
                    EXIT_AFTER_HANDOVER -> true;
            default -> false;
        };
    }

    /** Whether its values are written without quotes in the file because they are numbers. */
    boolean isNumber() {
        return switch (this) {
            case LOOPS,
                    CONNECT_ATTEMPTS,
                    TCP_KEEPALIVE_PROBES,
                    MAX_FLOWS,
                    MAX_CLIENT_SHARE,
                    MARK_BIT,
                    ROUTING_TABLE,
                    RULE_PRIORITY -> true;
            default -> false;
        };
    }

    /**
     * The value a text stands for.
     *
     * @throws IllegalArgumentException saying what is allowed
     */
    Object parse(String text) {
        return parser.apply(text)
                .orElseThrow(() -> new IllegalArgumentException(quoted(text) + " is not allowed; give " + allowed));
    }

    /** A text that somebody typed, cut where it gets long. */
    public static String quoted(String text) {
        return "'" + (text.length() <= MAX_QUOTED ? text : text.substring(0, MAX_QUOTED) + "...") + "'";
    }

    private static Optional<?> path(String text) {
        // Longer ones the kernel refuses.
        boolean possible = !text.isBlank() && text.length() < 4096 && text.indexOf('\0') < 0;
        return possible ? Optional.of(Path.of(text)) : Optional.empty();
    }

    /** One text, since there is one place in a kube-proxy configuration, too. */
    private static Optional<?> paths(String text) {
        boolean possible = Arrays.stream(text.split(File.pathSeparator, -1))
                .allMatch(each -> path(each).isPresent());
        return possible ? Optional.of(text) : Optional.empty();
    }

    private static Optional<?> nodeName(String text) {
        // Lower case, as kube-proxy does it: node names are.
        String name = text.strip().toLowerCase(Locale.ROOT);
        return NODE_NAMES.matcher(name).matches() ? Optional.of(name) : Optional.empty();
    }

    private static Optional<?> labelValue(String text) {
        return LABELS.matcher(text).matches() ? Optional.of(text) : Optional.empty();
    }

    /** The default node name. {@link Configuration#unusableHostName} reports a host name that cannot be one. */
    private static String hostName() {
        String name = HostName.read();
        return nodeName(name).isPresent() ? name : "localhost";
    }

    private static Optional<?> address(String text) {
        return Optional.ofNullable(IpAddress.parse(text.strip())).filter(address -> !address.isUnspecified());
    }

    private static Optional<?> cidr(String text) {
        return Optional.ofNullable(Cidr.parse(text.strip()));
    }

    private static Optional<?> nodePortAddress(String text) {
        NodePortAddresses.Word word = NodePortAddresses.Word.parse(text.strip());
        return word == null ? cidr(text) : Optional.of(word);
    }

    private static Optional<?> detectLocalMode(String text) {
        if (text.equals("BridgeInterface") || text.equals("InterfaceNamePrefix")) {
            throw new IllegalArgumentException(
                    text + " looks at interfaces, which a proxy cannot see behind a socket; set"
                            + " ClusterCIDR with --cluster-cidr, or NodeCIDR");
        }
        return choice("ClusterCIDR", "NodeCIDR").apply(text);
    }

    private static Optional<?> truth(String text) {
        return choice("true", "false").apply(text).map("true"::equals);
    }

    private static Optional<?> addressMap(String text) {
        int equals = text.indexOf('=');
        if (equals < 0) {
            return Optional.empty();
        }
        Cidr from = range(text.substring(0, equals).strip());
        Cidr to = range(text.substring(equals + 1).strip());
        if (from == null
                || to == null
                || from.prefix() != to.prefix()
                || from.network().family() != to.network().family()) {
            return Optional.empty();
        }
        return Optional.of(new AddressMap(from, to));
    }

    /** Not as Kubernetes reads one: somebody who gives bits behind the prefix expects addresses where there are none. */
    private static @Nullable Cidr range(String text) {
        Cidr range = Cidr.parse(text);
        if (range != null && !range.network().equals(IpAddress.parse(text.substring(0, text.indexOf('/'))))) {
            throw new IllegalArgumentException(text + " has bits set behind its prefix; did you mean " + range);
        }
        return range;
    }

    /** An address to bind, or {@link Disabled}. */
    private static Optional<?> bindAddress(String text) {
        if (text.isEmpty() || text.equals("off")) {
            return Optional.of(Disabled.DISABLED);
        }
        int colon = text.lastIndexOf(':');
        if (colon <= 0) {
            return Optional.empty();
        }
        String host = text.substring(0, colon);
        boolean brackets = host.startsWith("[") && host.endsWith("]");
        IpAddress address = IpAddress.parse(brackets ? host.substring(1, host.length() - 1) : host);
        Optional<?> port = whole(0, 65_535).apply(text.substring(colon + 1));
        if (address == null || port.isEmpty() || (address.family() == Family.IPV6) != brackets) {
            return Optional.empty();
        }
        return Optional.of(new InetSocketAddress(address.toInetAddress(), (Integer) port.get()));
    }

    /** What a bind address is when there is to be no server. */
    enum Disabled {
        DISABLED
    }

    private static Function<String, Optional<?>> choice(String... choices) {
        return text -> Arrays.asList(choices).contains(text) ? Optional.of(text) : Optional.empty();
    }

    private static Function<String, Optional<?>> whole(int least, int most) {
        return text -> {
            if (text.isEmpty() || text.length() > 9 || !text.chars().allMatch(c -> c >= '0' && c <= '9')) {
                return Optional.empty();
            }
            int value = Integer.parseInt(text);
            return value < least || value > most ? Optional.empty() : Optional.of(value);
        };
    }

    private static Function<String, Optional<?>> time(Duration least, Duration most) {
        return text -> {
            Matcher matcher = TIME.matcher(text);
            if (!matcher.matches()) {
                return Optional.empty();
            }
            long amount = Long.parseLong(matcher.group(1));
            Duration value = switch (matcher.group(2)) {
                case "ms" -> Duration.ofMillis(amount);
                case "s" -> Duration.ofSeconds(amount);
                case "m" -> Duration.ofMinutes(amount);
                default -> Duration.ofHours(amount);
            };
            return value.compareTo(least) < 0 || value.compareTo(most) > 0 ? Optional.empty() : Optional.of(value);
        };
    }
}
