package io.sluice.config;

import io.sluice.apiserver.ApiOptions;
import io.sluice.apiserver.KubernetesReflector;
import io.sluice.forward.ForwarderConfig;
import io.sluice.model.Frontend;
import io.sluice.model.ServicePort;
import io.sluice.model.TrafficPolicy;
import io.sluice.node.RuleOptions;
import io.sluice.rules.BuildOptions;
import io.sluice.rules.NodePortAddresses;
import io.sluice.rules.PolicyValues;
import io.sluice.socket.KeepAlive;
import io.sluice.socketlb.SocketLbOptions;
import io.sluice.socketlb.SocketPath;
import java.io.File;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The parsed settings of a daemon. {@link Configuration} creates them; {@link Setting} defines the valid values.
 *
 * @param feed file or directory with manifests; null to watch an API server instead
 * @param rules options of node mode; null in bind mode
 * @param socketLb options of socket-level load balancing, which is off in bind mode
 * @param handoverSocket path of the Unix socket; null if handover is disabled
 * @param handoverMarker path of the file that is written after a handover; null without one, without a handover socket,
 *     or if the process exits after a handover
 * @param healthzBindAddress address of the health server; null if disabled
 * @param metricsBindAddress address of the metrics server; null if disabled
 * @param endpointMetrics whether to report metrics of all endpoints, not only of those that have failed
 * @param bindAddressHardFail whether to exit at startup if either of these two addresses is already in use
 * @param admin where the admin API is served
 * @param readyFile path of the readiness file; null if none is set
 * @param connectionLog path of the connection log, or {@code -} for stdout; null if disabled
 */
public record Settings(
        @Nullable Path feed,
        ApiOptions api,
        KubernetesReflector.EndpointsApi endpointsApi,
        BuildOptions buildOptions,
        ForwarderConfig forwarder,
        @Nullable RuleOptions rules,
        SocketLbOptions socketLb,
        @Nullable Path handoverSocket,
        boolean exitAfterHandover,
        @Nullable Path handoverMarker,
        Duration drainTimeout,
        @Nullable InetSocketAddress healthzBindAddress,
        @Nullable InetSocketAddress metricsBindAddress,
        boolean endpointMetrics,
        boolean bindAddressHardFail,
        Admin admin,
        @Nullable Path readyFile,
        @Nullable Path connectionLog,
        String logFormat,
        String logLevel) {
    /** Path of the Unix socket of the admin API in node mode, unless it is set. */
    public static final Path DEFAULT_ADMIN_SOCKET = SettingParsers.DEFAULT_ADMIN_SOCKET;

    /**
     * Where the admin API is served.
     *
     * @param bindAddress address of the read-only API; null if disabled
     * @param hostNames host names that requests to this address may contain
     * @param socket path of the Unix socket; null if there is none
     */
    public record Admin(
            @Nullable InetSocketAddress bindAddress,
            List<String> hostNames,
            @Nullable Path socket) {}

    /** The path of connections from clients on this node, on a machine where socket-level load balancing works. */
    public SocketPath socketPath(ServicePort port, Frontend frontend) {
        return SocketPath.of(socketLb, port, frontend, buildOptions.masqueradeAll());
    }

    static Settings of(Values values, PolicyValues serviceDefaults) {
        return new Settings(
                values.one(Setting.FEED),
                apiOptions(values),
                KubernetesReflector.EndpointsApi.valueOf(
                        values.required(Setting.ENDPOINTS_API).toUpperCase(Locale.ROOT)),
                buildOptions(values, serviceDefaults),
                new ForwarderConfig(
                        values.required(Setting.LOOPS),
                        values.required(Setting.BUSY_POLL),
                        values.required(Setting.CONNECT_TIMEOUT),
                        values.required(Setting.CONNECT_DEADLINE),
                        values.required(Setting.CONNECT_ATTEMPTS),
                        values.required(Setting.HALF_CLOSED_TIMEOUT),
                        new KeepAlive(
                                (int) values.required(Setting.TCP_KEEPALIVE_TIME)
                                        .toSeconds(),
                                (int) values.required(Setting.TCP_KEEPALIVE_INTERVAL)
                                        .toSeconds(),
                                values.required(Setting.TCP_KEEPALIVE_PROBES)),
                        values.required(Setting.STALLED_TIMEOUT),
                        values.required(Setting.UDP_UNREPLIED_TIMEOUT),
                        values.required(Setting.UDP_REPLIED_TIMEOUT),
                        values.required(Setting.MAX_FLOWS),
                        values.required(Setting.MAX_CLIENT_SHARE),
                        ForwarderConfig.defaults().bufferBudgetBytes(),
                        null,
                        System::nanoTime),
                values.required(Setting.MODE).equals("node")
                        ? rules(values, serviceDefaults.policy().timeouts())
                        : null,
                new SocketLbOptions(
                        values.required(Setting.SOCKET_LB),
                        values.one(Setting.SOCKET_LB_CGROUP),
                        values.required(Setting.SOCKET_LB_PINS)),
                values.one(Setting.HANDOVER_SOCKET),
                values.required(Setting.EXIT_AFTER_HANDOVER),
                handoverMarker(values),
                values.required(Setting.DRAIN_TIMEOUT),
                values.required(Setting.HEALTHZ_BIND_ADDRESS).orElse(null),
                values.required(Setting.METRICS_BIND_ADDRESS).orElse(null),
                values.required(Setting.ENDPOINT_METRICS),
                values.required(Setting.BIND_ADDRESS_HARD_FAIL),
                admin(values),
                values.one(Setting.READY_FILE),
                values.one(Setting.CONNECTION_LOG),
                values.required(Setting.LOG_FORMAT),
                values.required(Setting.LOG_LEVEL));
    }

    private static @Nullable Path handoverMarker(Values values) {
        return values.one(Setting.HANDOVER_SOCKET) == null || values.required(Setting.EXIT_AFTER_HANDOVER)
                ? null
                : values.one(Setting.HANDOVER_MARKER);
    }

    private static Admin admin(Values values) {
        Optional<Path> socket = values.one(Setting.ADMIN_SOCKET);
        if (socket == null) {
            boolean nodeMode = values.required(Setting.MODE).equals("node");
            socket = nodeMode ? Optional.of(DEFAULT_ADMIN_SOCKET) : Optional.empty();
        }
        return new Admin(
                values.required(Setting.ADMIN_BIND_ADDRESS).orElse(null),
                values.all(Setting.ADMIN_HOST),
                socket.orElse(null));
    }

    private static RuleOptions rules(Values values, TrafficPolicy.Timeouts defaults) {
        return new RuleOptions(
                values.required(Setting.MARK_BIT),
                values.required(Setting.ROUTING_TABLE),
                values.required(Setting.RULE_PRIORITY),
                values.required(Setting.KEEP_RULES_ON_EXIT),
                wholeSeconds(values.required(Setting.UDP_UNREPLIED_TIMEOUT), defaults.udpUnrepliedNanos()),
                wholeSeconds(values.required(Setting.UDP_REPLIED_TIMEOUT), defaults.udpNanos()));
    }

    /**
     * Rounds the longer time up to seconds, so that the kernel's entry for a flow does not expire before that of the
     * forwarder.
     */
    private static long wholeSeconds(Duration ofProcess, long ofServicesNanos) {
        Duration ofServices = Duration.ofNanos(ofServicesNanos);
        return (ofProcess.compareTo(ofServices) < 0 ? ofServices : ofProcess)
                .plusMillis(999)
                .toSeconds();
    }

    private static ApiOptions apiOptions(Values values) {
        String kubeconfigs = values.one(Setting.KUBECONFIG);
        String context = values.one(Setting.CONTEXT);
        return new ApiOptions(
                kubeconfigs == null
                        ? List.of()
                        : Arrays.stream(kubeconfigs.split(File.pathSeparator))
                                .map(Path::of)
                                .toList(),
                context == null ? "" : context,
                values.all(Setting.MASTER),
                values.one(Setting.TOKEN_FILE),
                values.one(Setting.CERTIFICATE_AUTHORITY),
                values.required(Setting.INSECURE_SKIP_TLS_VERIFY));
    }

    private static BuildOptions buildOptions(Values values, PolicyValues serviceDefaults) {
        String proxyName = values.one(Setting.SERVICE_PROXY_NAME);
        return new BuildOptions(
                values.required(Setting.NODE_NAME),
                values.all(Setting.NODE_IP),
                values.all(Setting.CLUSTER_CIDR),
                values.required(Setting.DETECT_LOCAL_MODE).equals("NodeCIDR"),
                values.all(Setting.SERVICE_CIDR),
                NodePortAddresses.merged(values.all(Setting.NODEPORT_ADDRESSES)),
                values.required(Setting.MASQUERADE_ALL),
                values.all(Setting.MAP_FRONTENDS),
                proxyName == null ? "" : proxyName,
                values.required(Setting.MODE).equals("node"),
                serviceDefaults);
    }

    /** The parsed values of all settings. */
    static final class Values {
        private final Map<Setting<?>, List<Object>> parsed;

        Values(Map<Setting<?>, List<Object>> parsed) {
            this.parsed = parsed;
        }

        /** All values of a setting. */
        @SuppressWarnings("unchecked") // parsed by the setting's own type
        <T> List<T> all(Setting<T> setting) {
            return (List<T>) Objects.requireNonNull(parsed.get(setting), setting.key());
        }

        <T> @Nullable T one(Setting<T> setting) {
            List<T> all = all(setting);
            return all.isEmpty() ? null : all.get(0);
        }

        <T> T required(Setting<T> setting) {
            return all(setting).get(0);
        }
    }
}
