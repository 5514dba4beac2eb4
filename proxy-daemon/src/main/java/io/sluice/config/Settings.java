package io.sluice.config;

import io.sluice.apiserver.ApiOptions;
import io.sluice.apiserver.KubernetesReflector;
import io.sluice.forward.ForwarderConfig;
import io.sluice.model.Cidr;
import io.sluice.model.IpAddress;
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
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The settings of one daemon, checked. Made by {@link Configuration}; what is allowed stands in {@link Setting}.
 *
 * @param feed null if none was given: then what the API server says is served
 * @param rules null in bind mode
 * @param handOverSocket null if there is to be no hand-over
 * @param healthzBindAddress null if there is to be no such server; likewise {@code metricsBindAddress}
 * @param bindAddressHardFail whether a start ends if one of these two is taken
 * @param readyFile null if there is to be none
 */
public record Settings(
        @Nullable Path feed,
        ApiOptions api,
        KubernetesReflector.EndpointsApi endpointsApi,
        BuildOptions buildOptions,
        ForwarderConfig forwarder,
        @Nullable RuleOptions rules,
        @Nullable Path handOverSocket,
        boolean exitAfterHandOver,
        Duration drainTimeout,
        @Nullable InetSocketAddress healthzBindAddress,
        @Nullable InetSocketAddress metricsBindAddress,
        boolean bindAddressHardFail,
        @Nullable Path readyFile,
        String logFormat,
        String logLevel) {

    static Settings of(Values values) {
        return new Settings(
                values.one(Setting.FEED, Path.class),
                apiOptions(values),
                KubernetesReflector.EndpointsApi.valueOf(
                        values.required(Setting.ENDPOINTS_API, String.class).toUpperCase(Locale.ROOT)),
                buildOptions(values),
                new ForwarderConfig(
                        values.required(Setting.LOOPS, Integer.class),
                        values.required(Setting.BUSY_POLL, Boolean.class),
                        values.required(Setting.CONNECT_TIMEOUT, Duration.class),
                        values.required(Setting.CONNECT_DEADLINE, Duration.class),
                        values.required(Setting.CONNECT_ATTEMPTS, Integer.class),
                        values.required(Setting.HALF_CLOSED_TIMEOUT, Duration.class),
                        new KeepAlive(
                                (int) values.required(Setting.TCP_KEEPALIVE_TIME, Duration.class)
                                        .toSeconds(),
                                (int) values.required(Setting.TCP_KEEPALIVE_INTERVAL, Duration.class)
                                        .toSeconds(),
                                values.required(Setting.TCP_KEEPALIVE_PROBES, Integer.class)),
                        values.required(Setting.STALLED_TIMEOUT, Duration.class),
                        values.required(Setting.UDP_UNREPLIED_TIMEOUT, Duration.class),
                        values.required(Setting.UDP_REPLIED_TIMEOUT, Duration.class),
                        values.required(Setting.MAX_FLOWS, Integer.class),
                        values.required(Setting.MAX_CLIENT_SHARE, Integer.class),
                        ForwarderConfig.defaults().maxHeldBytes(),
                        null,
                        System::nanoTime),
                values.required(Setting.MODE, String.class).equals("node") ? rules(values) : null,
                values.one(Setting.HANDOVER_SOCKET, Path.class),
                values.required(Setting.EXIT_AFTER_HANDOVER, Boolean.class),
                values.required(Setting.DRAIN_TIMEOUT, Duration.class),
                values.one(Setting.HEALTHZ_BIND_ADDRESS, InetSocketAddress.class),
                values.one(Setting.METRICS_BIND_ADDRESS, InetSocketAddress.class),
                values.required(Setting.BIND_ADDRESS_HARD_FAIL, Boolean.class),
                values.one(Setting.READY_FILE, Path.class),
                values.required(Setting.LOG_FORMAT, String.class),
                values.required(Setting.LOG_LEVEL, String.class));
    }

    private static RuleOptions rules(Values values) {
        return new RuleOptions(
                values.required(Setting.MARK_BIT, Integer.class),
                values.required(Setting.ROUTING_TABLE, Integer.class),
                values.required(Setting.RULE_PRIORITY, Integer.class),
                values.required(Setting.KEEP_RULES_ON_EXIT, Boolean.class));
    }

    private static ApiOptions apiOptions(Values values) {
        String kubeconfigs = values.one(Setting.KUBECONFIG, String.class);
        String context = values.one(Setting.CONTEXT, String.class);
        return new ApiOptions(
                kubeconfigs == null
                        ? List.of()
                        : Arrays.stream(kubeconfigs.split(File.pathSeparator))
                                .map(Path::of)
                                .toList(),
                context == null ? "" : context,
                values.all(Setting.MASTER, String.class),
                values.one(Setting.TOKEN_FILE, Path.class),
                values.one(Setting.CERTIFICATE_AUTHORITY, Path.class),
                values.required(Setting.INSECURE_SKIP_TLS_VERIFY, Boolean.class));
    }

    private static BuildOptions buildOptions(Values values) {
        String proxyName = values.one(Setting.SERVICE_PROXY_NAME, String.class);
        return new BuildOptions(
                values.required(Setting.NODE_NAME, String.class),
                values.all(Setting.NODE_IP, IpAddress.class),
                values.all(Setting.CLUSTER_CIDR, Cidr.class),
                values.required(Setting.DETECT_LOCAL_MODE, String.class).equals("NodeCIDR"),
                values.all(Setting.SERVICE_CIDR, Cidr.class),
                new NodePortAddresses(
                        Set.copyOf(values.all(Setting.NODEPORT_ADDRESSES, NodePortAddresses.Word.class)),
                        values.all(Setting.NODEPORT_ADDRESSES, Cidr.class)),
                values.required(Setting.MASQUERADE_ALL, Boolean.class),
                values.all(Setting.MAP_FRONTENDS, BuildOptions.AddressMap.class),
                proxyName == null ? "" : proxyName,
                values.required(Setting.MODE, String.class).equals("node"));
    }

    /** The parsed values of each setting. */
    @FunctionalInterface
    interface Values {
        List<Object> of(Setting setting);

        default <T> List<T> all(Setting setting, Class<T> type) {
            return of(setting).stream().filter(type::isInstance).map(type::cast).toList();
        }

        default <T> @Nullable T one(Setting setting, Class<T> type) {
            List<T> all = all(setting, type);
            return all.isEmpty() ? null : all.get(0);
        }

        default <T> T required(Setting setting, Class<T> type) {
            return all(setting, type).get(0);
        }
    }
}
