package io.sluice.daemon;

import io.sluice.model.HealthCheck;
import io.sluice.model.IpAddress;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.StandardProtocolFamily;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.UnsupportedAddressTypeException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The ports on which load balancers ask whether one Service has ready endpoints on this node: opened, kept and closed as
 * the snapshots say.
 *
 * <p>All are served by one thread. There may be a thousand, and the JDK's HTTP server would take three threads for each.
 */
final class HealthCheckPorts implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(HealthCheckPorts.class);

    /** How many may ask at once; the one that has been there longest makes room. */
    private static final int MAX_CONNECTIONS = 1024;

    private static final int BACKLOG = 256;

    private final BooleanSupplier healthy;
    private final long retryNanos;
    private final Selector selector;
    private final Thread thread = new Thread(this::run, "sluice-health-checks");

    private volatile Map<String, HealthCheck> checks = Map.of();
    private volatile Map<Port, InetSocketAddress> addresses = Map.of();
    private volatile boolean closed;

    // Used on the thread only.
    private final Map<Port, ServerSocketChannel> open = new HashMap<>();
    private final Set<Port> failed = new HashSet<>();
    private final ProbeConnections connections;
    private Map<String, HealthCheck> opened = Map.of();
    private long nextTryNanos;

    /** One socket that listens for one Service; {@code address} is null for all addresses of the machine. */
    private record Port(String service, @Nullable IpAddress address, int number) {
        InetSocketAddress socketAddress() {
            return address == null ? new InetSocketAddress(number) : address.toSocketAddress(number);
        }
    }

    /**
     * @param healthy whether this proxy is fit to serve; if not every answer is 503, with the true number of endpoints
     * @param retry how long to wait before a port that could not be opened is tried again
     */
    HealthCheckPorts(BooleanSupplier healthy, Duration retry) {
        this.healthy = healthy;
        this.retryNanos = retry.toNanos();
        try {
            selector = Selector.open();
        } catch (IOException e) {
            throw new IllegalStateException("health checks cannot be served: " + e.getMessage(), e);
        }
        connections = new ProbeConnections(MAX_CONNECTIONS);
        thread.setDaemon(true);
    }

    void start() {
        thread.start();
    }

    /** Answers for these Services from now on; their ports follow at once. Any thread, never blocks. */
    void apply(Map<String, HealthCheck> wanted) {
        checks = wanted;
        selector.wakeup();
    }

    /** Where a Service's health is told now. Any thread. */
    List<InetSocketAddress> addresses(String service) {
        List<InetSocketAddress> all = new ArrayList<>();
        addresses.forEach((port, address) -> {
            if (port.service().equals(service)) {
                all.add(address);
            }
        });
        return all;
    }

    private void run() {
        try {
            while (!closed) {
                follow();
                selector.select(this::ready, waitMillis());
                connections.closeOverdue();
            }
        } catch (IOException | RuntimeException e) {
            log.error("the Services' health checks are no longer served", e);
        } finally {
            closeAll();
        }
    }

    private long waitMillis() {
        long nanos = connections.nanosToNextDeadline();
        if (!failed.isEmpty()) {
            nanos = Math.min(nanos, nextTryNanos - System.nanoTime());
        }
        // 0 would be for ever.
        return Math.max(1, TimeUnit.NANOSECONDS.toMillis(nanos));
    }

    private void follow() throws IOException {
        Map<String, HealthCheck> wanted = checks;
        boolean changed = wanted != opened;
        if (!changed && (failed.isEmpty() || nextTryNanos - System.nanoTime() > 0)) {
            return;
        }
        Set<Port> ports = changed ? portsOf(wanted) : Set.copyOf(failed);
        if (changed) {
            closeAllBut(ports);
            failed.retainAll(ports);
            opened = wanted;
        }
        for (Port port : ports) {
            if (!open.containsKey(port)) {
                tryOpen(port);
            }
        }
        nextTryNanos = System.nanoTime() + retryNanos;
        publish();
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

    private void closeAllBut(Set<Port> ports) throws IOException {
        Iterator<Map.Entry<Port, ServerSocketChannel>> all = open.entrySet().iterator();
        while (all.hasNext()) {
            Map.Entry<Port, ServerSocketChannel> one = all.next();
            if (!ports.contains(one.getKey())) {
                one.getValue().close();
                all.remove();
            }
        }
        // A channel frees its port only when the selector has let go of it; another Service may want it now.
        selector.selectNow(this::ready);
    }

    private void tryOpen(Port port) {
        try {
            open.put(port, listen(port));
            if (failed.remove(port)) {
                log.info("health check of Service {} on {} is served now", port.service(), text(port));
            }
        } catch (IOException e) {
            fail(port, e);
        }
    }

    private ServerSocketChannel listen(Port port) throws IOException {
        IpAddress address = port.address();
        // Without a family it is of both, or of IPv4 where there is no IPv6.
        ServerSocketChannel channel = address == null || address.v6()
                ? ServerSocketChannel.open()
                : ServerSocketChannel.open(StandardProtocolFamily.INET);
        try {
            channel.bind(port.socketAddress(), BACKLOG);
            channel.configureBlocking(false);
            channel.register(selector, SelectionKey.OP_ACCEPT, port);
            return channel;
        } catch (IOException e) {
            channel.close();
            throw e;
        } catch (UnsupportedAddressTypeException e) {
            channel.close();
            throw new IOException("this machine has no IPv6", e);
        }
    }

    private void fail(Port port, IOException e) {
        if (failed.add(port)) {
            log.warn(
                    "health check of Service {} cannot be served on {}: {}; trying again every {} s",
                    port.service(),
                    text(port),
                    e.getMessage(),
                    retryNanos / 1_000_000_000);
        }
    }

    private static String text(Port port) {
        IpAddress address = port.address();
        return address == null ? "port " + port.number() : address.withPort(port.number());
    }

    private void publish() throws IOException {
        Map<Port, InetSocketAddress> now = new HashMap<>();
        for (Map.Entry<Port, ServerSocketChannel> one : open.entrySet()) {
            now.put(one.getKey(), (InetSocketAddress) one.getValue().getLocalAddress());
        }
        addresses = Map.copyOf(now);
    }

    private void ready(SelectionKey key) {
        if (!key.isValid()) {
            return;
        }
        if (key.attachment() instanceof Port port) {
            accept((ServerSocketChannel) key.channel(), port);
        } else {
            connections.read(key);
        }
    }

    private void accept(ServerSocketChannel channel, Port port) {
        try {
            connections.accept(
                    channel,
                    selector,
                    () -> HealthCheckAnswer.of(port.service(), checks.get(port.service()), healthy.getAsBoolean()));
        } catch (IOException e) {
            // Out of descriptors, mostly. Left open it would be reported again at once, and for ever.
            closeQuietly(channel);
            open.remove(port);
            fail(port, e);
            nextTryNanos = System.nanoTime() + retryNanos;
        }
    }

    private static void closeQuietly(ServerSocketChannel channel) {
        try {
            channel.close();
        } catch (IOException e) {
            log.debug("a health check port did not close cleanly", e);
        }
    }

    private void closeAll() {
        connections.closeAll();
        open.values().forEach(HealthCheckPorts::closeQuietly);
        open.clear();
        addresses = Map.of();
        try {
            selector.close();
        } catch (IOException e) {
            log.debug("the selector of the health checks did not close cleanly", e);
        }
    }

    /** Ends all of it, before it returns. */
    @Override
    public void close() {
        closed = true;
        selector.wakeup();
        if (!thread.isAlive()) {
            closeAll();
            return;
        }
        try {
            thread.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
