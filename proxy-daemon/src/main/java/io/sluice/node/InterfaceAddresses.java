package io.sluice.node;

import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import io.sluice.thread.Supervisor;
import io.sluice.thread.Worker;
import java.io.IOException;
import java.net.BindException;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.NetworkInterface;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Watches the addresses of this machine's interfaces, including bridges and dummy interfaces. Does not report loopback
 * addresses, link-local IPv6 addresses, or addresses to which no socket can be bound.
 */
public final class InterfaceAddresses implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(InterfaceAddresses.class);
    private static final Duration POLL = Duration.ofSeconds(3);

    private final Source source;
    private final Consumer<List<IpAddress>> onChange;
    private @Nullable Worker poller;
    /** The addresses last reported, in the order in which they appeared. */
    private final Set<IpAddress> known = new LinkedHashSet<>();

    private boolean failing;

    /** Lists the addresses of network interfaces. */
    public interface Source {
        /** Returns the addresses of all interfaces, in any order, possibly with duplicates. */
        List<IpAddress> addresses() throws IOException;

        /**
         * Returns whether a socket can be bound to an address: false while it is tentative or its interface is down.
         */
        default boolean isUsable(IpAddress address) throws IOException {
            return true;
        }
    }

    /** Lists the addresses in the network namespace of the thread that calls it. */
    public static final Source THIS_MACHINE = new Source() {
        @Override
        public List<IpAddress> addresses() throws IOException {
            return listed();
        }

        @Override
        public boolean isUsable(IpAddress address) throws IOException {
            return canBind(address);
        }
    };

    /**
     * Creates a watcher. It does not poll until {@link #start} is called.
     *
     * @param onChange callback that receives all addresses after each change, on the polling thread
     */
    public InterfaceAddresses(Source source, Consumer<List<IpAddress>> onChange) {
        this.source = source;
        this.onChange = onChange;
    }

    /** Polls immediately, and then every three seconds. */
    public void start(Supervisor supervisor) {
        poll();
        poller = supervisor.scheduled("sluice-interfaces", POLL, this::poll);
    }

    synchronized void poll() {
        try {
            if (update()) {
                onChange.accept(List.copyOf(known));
            }
            if (failing) {
                failing = false;
                log.info("interface addresses can be listed again");
            }
        } catch (IOException | RuntimeException e) {
            if (!failing) {
                failing = true;
                log.warn("cannot list interface addresses; using the last known ones", e);
            }
        }
    }

    private boolean update() throws IOException {
        Set<IpAddress> now = new LinkedHashSet<>();
        for (IpAddress address : source.addresses().stream().sorted().toList()) {
            if (!isExcluded(address) && (known.contains(address) || source.isUsable(address))) {
                now.add(address);
            }
        }
        boolean changed = known.retainAll(now);
        return known.addAll(now) || changed;
    }

    private static boolean isExcluded(IpAddress address) {
        InetAddress inet = address.toInetAddress();
        return inet.isLoopbackAddress()
                || inet.isAnyLocalAddress()
                || inet.isMulticastAddress()
                || (address.family() == Family.IPV6 && inet.isLinkLocalAddress());
    }

    /** Returns the current addresses of this machine's interfaces. */
    public static List<IpAddress> ofThisMachine() {
        List<IpAddress> found = new ArrayList<>();
        try (InterfaceAddresses addresses = new InterfaceAddresses(THIS_MACHINE, found::addAll)) {
            addresses.poll();
        }
        return found;
    }

    private static List<IpAddress> listed() throws IOException {
        List<IpAddress> all = new ArrayList<>();
        for (NetworkInterface each : (Iterable<NetworkInterface>) NetworkInterface.networkInterfaces()::iterator) {
            each.inetAddresses().map(IpAddress::of).forEach(all::add);
        }
        return all;
    }

    private static boolean canBind(IpAddress address) throws IOException {
        try (DatagramSocket socket = new DatagramSocket(address.toSocketAddress(0))) {
            return socket.isBound();
        } catch (BindException e) {
            log.debug("cannot bind to {}: {}", address, e.getMessage());
            return false;
        }
    }

    @Override
    public void close() {
        if (poller != null) {
            poller.close();
        }
    }
}
