package io.sluice.daemon;

import io.sluice.config.Settings;
import io.sluice.http.HttpPort;
import io.sluice.http.HttpServer;
import io.sluice.http.Page;
import io.sluice.http.Routes;
import io.sluice.model.HealthCheck;
import io.sluice.ops.HealthCheckPorts;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** HTTP ports of this process: health, metrics, and the health check node ports of Services. */
public final class HttpPorts {
    private final HttpServer http;
    private final HealthCheckPorts healthChecks;
    private final @Nullable HttpPort healthz;
    private final @Nullable HttpPort metrics;

    /** @param healthy whether health check node ports may report this node as healthy */
    HttpPorts(
            HttpServer http,
            Settings settings,
            Map<String, Function<String, Page>> healthPages,
            Map<String, Function<String, Page>> metricsPages,
            BooleanSupplier healthy) {
        this.http = http;
        healthChecks = new HealthCheckPorts(http, healthy, HttpPort.RETRY);
        healthz = port("health", settings.healthzBindAddress(), healthPages);
        metrics = port("metrics", settings.metricsBindAddress(), metricsPages);
    }

    private @Nullable HttpPort port(
            String name, @Nullable InetSocketAddress address, Map<String, Function<String, Page>> pages) {
        return address == null ? null : new HttpPort(http, name, address, new Routes(pages));
    }

    private List<HttpPort> own() {
        return Stream.of(healthz, metrics).flatMap(Stream::ofNullable).toList();
    }

    /**
     * Opens the health and metrics ports.
     *
     * @param orFail whether to fail if a port is in use, instead of retrying in the background
     * @throws IllegalStateException if {@code orFail} is set and a port cannot be opened
     */
    void open(boolean orFail) {
        for (HttpPort port : own()) {
            if (orFail) {
                port.startOrFail();
            } else {
                port.start();
            }
        }
    }

    /**
     * Opens and closes health check node ports to match the given health checks.
     *
     * @param checks health checks by {@code namespace/name} of the Service
     */
    void apply(Map<String, HealthCheck> checks) {
        healthChecks.apply(checks);
    }

    /** Closes all ports; requests in progress still get a response. */
    void close() {
        healthChecks.close();
        own().forEach(HttpPort::close);
    }

    /** Closes all ports, all connections and the server. */
    void end() {
        close();
        http.close();
    }

    /** Returns the addresses on which the health check of a Service, given as {@code namespace/name}, is served. */
    List<InetSocketAddress> healthCheckAddresses(String service) {
        return healthChecks.addresses(service);
    }

    /** Returns the address of the health port; empty if the port is not open. */
    public Optional<InetSocketAddress> healthz() {
        return healthz == null ? Optional.empty() : healthz.address();
    }

    /** Returns the address of the metrics port; empty if the port is not open. */
    public Optional<InetSocketAddress> metrics() {
        return metrics == null ? Optional.empty() : metrics.address();
    }
}
