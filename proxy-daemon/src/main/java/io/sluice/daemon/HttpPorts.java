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

/** The ports on which this process speaks HTTP: health, metrics, and the health check node ports of Services. */
public final class HttpPorts {
    private final HttpServer http;
    private final HealthCheckPorts healthChecks;
    private final @Nullable HttpPort healthz;
    private final @Nullable HttpPort metrics;

    /** @param healthy whether this node should get traffic for Services with a health check node port */
    HttpPorts(
            HttpServer http,
            Settings settings,
            Map<String, Function<String, Page>> health,
            Map<String, Function<String, Page>> figures,
            BooleanSupplier healthy) {
        this.http = http;
        healthChecks = new HealthCheckPorts(http, healthy, HttpPort.RETRY);
        healthz = port("health", settings.healthzBindAddress(), health);
        metrics = port("metrics", settings.metricsBindAddress(), figures);
    }

    private @Nullable HttpPort port(
            String name, @Nullable InetSocketAddress address, Map<String, Function<String, Page>> pages) {
        return address == null ? null : new HttpPort(http, name, address, new Routes(pages));
    }

    private List<HttpPort> own() {
        return Stream.of(healthz, metrics).flatMap(Stream::ofNullable).toList();
    }

    /**
     * Opens health and metrics.
     *
     * @param orFail whether a port that is taken is an error, and not tried again
     * @throws IllegalStateException if one is taken and that is an error
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

    /** Opens and closes health check node ports until they are these, by Service. */
    void apply(Map<String, HealthCheck> checks) {
        healthChecks.apply(checks);
    }

    /** Closes all ports; their connections are served to the end. */
    void close() {
        healthChecks.close();
        own().forEach(HttpPort::close);
    }

    /** Closes everything. */
    void end() {
        close();
        http.close();
    }

    /** Where a Service's own health is served, by {@code namespace/name}. */
    List<InetSocketAddress> healthCheckAddresses(String service) {
        return healthChecks.addresses(service);
    }

    /** Where health is served; empty if it is not. */
    public Optional<InetSocketAddress> healthz() {
        return healthz == null ? Optional.empty() : healthz.address();
    }

    /** Where metrics are served; empty if they are not. */
    public Optional<InetSocketAddress> metrics() {
        return metrics == null ? Optional.empty() : metrics.address();
    }
}
