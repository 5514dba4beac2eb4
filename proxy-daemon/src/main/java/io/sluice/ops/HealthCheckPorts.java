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
 * The ports on which load balancers ask whether one Service has ready endpoints on this node ({@code
 * healthCheckNodePort}): opened and closed as the snapshots say. Any path and method will do, as with kube-proxy.
 */
public final class HealthCheckPorts implements AutoCloseable {
    private final HttpServer server;
    private final BooleanSupplier healthy;
    private final Duration retry;

    private volatile Map<String, HealthCheck> checks = Map.of();
    /** Changed on the server's event loop only, and read there. */
    private final Map<Port, HttpPort> open = new HashMap<>();

    private boolean closed;
    private volatile Map<Port, HttpPort> published = Map.of();

    /** One socket that listens for one Service; {@code address} is null for all addresses of the machine. */
    private record Port(String service, @Nullable IpAddress address, int number) {
        InetSocketAddress socketAddress() {
            return address == null ? new InetSocketAddress(number) : address.toSocketAddress(number);
        }
    }

    /**
     * @param healthy whether this proxy is fit to serve; if not, every response is 503, with the true number of endpoints
     * @param retry how long to wait before a port that could not be opened is tried again
     */
    public HealthCheckPorts(HttpServer server, BooleanSupplier healthy, Duration retry) {
        this.server = server;
        this.healthy = healthy;
        this.retry = retry;
    }

    /** Responds for these Services from now on; their ports follow soon. Any thread, never blocks. */
    public void apply(Map<String, HealthCheck> wanted) {
        checks = wanted;
        server.loop().execute(() -> {
            if (!closed && wanted == checks) {
                follow(portsOf(wanted));
            }
        });
    }

    /** Where a Service's health check is served now. Any thread. */
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

    private void follow(Set<Port> ports) {
        // First what goes: another Service may have its port now.
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
            // Whatever freed a port since the last attempt may have come with this change.
            listening.start();
        }
        published = Map.copyOf(open);
    }

    private Page page(String service) {
        return Page.quick(() -> HealthCheckResponse.of(service, checks.get(service), healthy.getAsBoolean()));
    }

    /** Closes all ports, before it returns. */
    @Override
    public void close() {
        checks = Map.of();
        server.run(() -> {
            closed = true;
            follow(Set.of());
        });
    }
}
