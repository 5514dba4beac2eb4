package io.sluice.ops;

import io.sluice.http.HttpPort;
import io.sluice.http.HttpServer;
import io.sluice.http.Page;
import io.sluice.model.HealthCheck;
import io.sluice.model.IpAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Health check node ports ({@code healthCheckNodePort}). External load balancers query them to determine whether a
 * Service has ready endpoints on this node. Ports are opened and closed to match the current snapshot. As in
 * kube-proxy, the response does not depend on the path or method of the request.
 */
public final class HealthCheckPorts implements AutoCloseable {
    private final HttpServer server;
    private final BooleanSupplier healthy;
    private final Duration retry;

    private volatile Map<String, HealthCheck> checks = Map.of();
    /** Accessed only on the server's event loop. */
    private final Map<Port, HttpPort> open = new HashMap<>();

    private boolean closed;
    private volatile Map<Port, HttpPort> published = Map.of();

    /** Port of one Service; a null {@code address} stands for all addresses of the machine. */
    private record Port(String service, @Nullable IpAddress address, int number) {
        InetSocketAddress socketAddress() {
            return address == null ? new InetSocketAddress(number) : address.toSocketAddress(number);
        }
    }

    /**
     * @param healthy whether this proxy is healthy; if it is not, every response has status 503 but still reports the
     *     actual number of endpoints
     * @param retry delay before another attempt to open a port that could not be opened
     */
    public HealthCheckPorts(HttpServer server, BooleanSupplier healthy, Duration retry) {
        this.server = server;
        this.healthy = healthy;
        this.retry = retry;
    }

    /** Replaces all health checks; ports are opened and closed asynchronously. May be called on any thread. */
    public void apply(Map<String, HealthCheck> wanted) {
        checks = wanted;
        server.loop().execute(() -> {
            if (!closed && wanted == checks) {
                reconcile(portsOf(wanted));
            }
        });
    }

    /** Returns the addresses on which the health check of a Service is currently served. Thread-safe. */
    public List<InetSocketAddress> addresses(String service) {
        List<InetSocketAddress> all = new ArrayList<>();
        published.forEach((port, listening) -> {
            if (port.service().equals(service)) {
                listening.address().ifPresent(all::add);
            }
        });
        return all;
    }

    private static Set<Port> portsOf(Map<String, HealthCheck> wanted) {
        Set<Port> ports = new HashSet<>();
        wanted.forEach((service, check) -> {
            if (check.addresses().isEmpty()) {
                ports.add(new Port(service, null, check.port()));
            }
            for (IpAddress address : check.addresses()) {
                ports.add(new Port(service, address, check.port()));
            }
        });
        return ports;
    }

    private void reconcile(Set<Port> ports) {
        // Close before opening: a port may have moved to another Service.
        Iterator<Map.Entry<Port, HttpPort>> all = open.entrySet().iterator();
        while (all.hasNext()) {
            Map.Entry<Port, HttpPort> one = all.next();
            if (!ports.contains(one.getKey())) {
                one.getValue().close();
                all.remove();
            }
        }
        for (Port port : ports) {
            HttpPort listening = open.get(port);
            if (listening == null) {
                listening = new HttpPort(
                        server,
                        "health check of Service " + port.service(),
                        port.socketAddress(),
                        request -> page(port.service()),
                        retry,
                        false);
                open.put(port, listening);
            }
            // Retry ports that failed to open: this change may have freed them.
            listening.start();
        }
        published = Map.copyOf(open);
    }

    private Page page(String service) {
        return Page.quick(() -> HealthCheckResponse.of(service, checks.get(service), healthy.getAsBoolean()));
    }

    /** Closes all ports before it returns. */
    @Override
    public void close() {
        checks = Map.of();
        server.run(() -> {
            closed = true;
            reconcile(Set.of());
        });
    }
}
