package io.sluice.config;

import io.sluice.apiserver.ApiOptions;
import io.sluice.apiserver.KubernetesReflector;
import io.sluice.forward.ForwarderConfig;
import io.sluice.node.RuleOptions;
import io.sluice.rules.BuildOptions;
import io.sluice.rules.NodePortAddresses;
import io.sluice.socket.KeepAlive;
import java.io.File;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The parsed settings of a daemon. {@link Configuration} creates them; {@link Setting} defines the valid values.
 *
 * @param feed file or directory with manifests; null to watch an API server instead
 * @param rules options of node mode; null in bind mode
 * @param handoverSocket path of the Unix socket; null if handover is disabled
 * @param healthzBindAddress address of the health server; null if disabled
 * @param metricsBindAddress address of the metrics server; null if disabled
 * @param bindAddressHardFail whether to exit at startup if either of these two addresses is already in use
 * @param readyFile path of the readiness file; null if none is set
 */
public record Settings(
        @Nullable Path feed,
        ApiOptions api,
        KubernetesReflector.EndpointsApi endpointsApi,
        BuildOptions buildOptions,
        ForwarderConfig forwarder,
        @Nullable RuleOptions rules,
        @Nullable Path handoverSocket,
        boolean exitAfterHandover,
        Duration drainTimeout,
        @Nullable InetSocketAddress healthzBindAddress,
        @Nullable InetSocketAddress metricsBindAddress,
        boolean bindAddressHardFail,
        @Nullable Path readyFile,
        String logFormat,
        String logLevel) {

    static Settings of(Values values) {
        return new Settings(
                values.one(Setting.FEED),
                apiOptions(values),
                KubernetesReflector.EndpointsApi.valueOf(
                        values.required(Setting.ENDPOINTS_API).toUpperCase(Locale.ROOT)),
                buildOptions(values),
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
                values.required(Setting.MODE).equals("node") ? rules(values) : null,
                values.one(Setting.HANDOVER_SOCKET),
                values.required(Setting.EXIT_AFTER_HANDOVER),
                values.required(Setting.DRAIN_TIMEOUT),
                values.required(Setting.HEALTHZ_BIND_ADDRESS).orElse(null),
                values.required(Setting.METRICS_BIND_ADDRESS).orElse(null),
                values.required(Setting.BIND_ADDRESS_HARD_FAIL),
                values.one(Setting.READY_FILE),
                values.required(Setting.LOG_FORMAT),
                values.required(Setting.LOG_LEVEL));
    }

    private static RuleOptions rules(Values values) {
        return new RuleOptions(
                values.required(Setting.MARK_BIT),
                values.required(Setting.ROUTING_TABLE),
                values.required(Setting.RULE_PRIORITY),
                values.required(Setting.KEEP_RULES_ON_EXIT),
                wholeSeconds(values.required(Setting.UDP_UNREPLIED_TIMEOUT)),
                wholeSeconds(values.required(Setting.UDP_REPLIED_TIMEOUT)));
    }

    /** Rounds up to seconds, so that the kernel's entry for a flow does not expire before that of the forwarder. */
    private static long wholeSeconds(Duration time) {
        return time.plusMillis(999).toSeconds();
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

    private static BuildOptions buildOptions(Values values) {
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
                values.required(Setting.MODE).equals("node"));
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
