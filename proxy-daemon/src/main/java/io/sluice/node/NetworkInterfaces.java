package io.sluice.node;

import io.sluice.model.Cidr;
import io.sluice.model.IpAddress;
import java.io.IOException;
import java.net.InterfaceAddress;
import java.net.NetworkInterface;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The addresses and bridges of this machine, as of the last refresh. */
public final class NetworkInterfaces {
    private static final Logger log = LoggerFactory.getLogger(NetworkInterfaces.class);

    /** Exists if br_netfilter is loaded. Unlike /sys, this path shows the network namespace of the reading thread. */
    private static final Path BRIDGE_HOOKS = Path.of("/proc/sys/net/bridge");

    private final NodeKernel kernel;
    private volatile View view = new View(Set.of(), List.of());
    private volatile boolean failing;

    private record View(Set<IpAddress> own, List<Cidr> bridges) {}

    NetworkInterfaces(NodeKernel kernel) {
        this.kernel = kernel;
    }

    /** Reads the addresses and bridges. Blocks, so it must not be called on an event loop. */
    void refresh() {
        try {
            Set<String> bridgeNames = kernel.bridges();
            Set<IpAddress> own = new HashSet<>();
            List<Cidr> bridges = new ArrayList<>();
            for (NetworkInterface each : (Iterable<NetworkInterface>) NetworkInterface.networkInterfaces()::iterator) {
                boolean bridge = bridgeNames.contains(each.getName());
                for (InterfaceAddress address : each.getInterfaceAddresses()) {
                    IpAddress ip = IpAddress.of(address.getAddress());
                    own.add(ip);
                    if (bridge) {
                        bridges.add(new Cidr(
                                ip,
                                Math.min(
                                        address.getNetworkPrefixLength(),
                                        ip.family().bits())));
                    }
                }
            }
            view = new View(own.equals(view.own()) ? view.own() : Set.copyOf(own), List.copyOf(bridges));
            if (failing) {
                failing = false;
                log.info("network interfaces can be listed again");
            }
        } catch (IOException e) {
            if (!failing) {
                failing = true;
                log.warn("cannot list network interfaces; using the last known ones: {}", e.getMessage());
            }
        }
    }

    /** Returns whether packets may pass the rules while they are still inside a bridge (module br_netfilter). */
    boolean bridgesAreHooked() {
        return !view.bridges().isEmpty() && Files.exists(BRIDGE_HOOKS);
    }

    /**
     * Returns whether an address is on an interface of this machine. Thread-safe; may be called on event loops.
     */
    public boolean isOwn(IpAddress address) {
        return view.own().contains(address);
    }

    /** The addresses on interfaces of this machine. Thread-safe; returns the same object until they change. */
    public Set<IpAddress> own() {
        return view.own();
    }

    /**
     * Returns whether replies from an endpoint to the client's address pass this node's rules. Replies bypass the rules
     * if the endpoint uses an address of this node, because they never arrive through an interface, or if client and
     * endpoint are on the same bridge, which switches the replies. May be called on any thread, including event loops.
     */
    public boolean repliesReturn(IpAddress client, IpAddress endpoint) {
        View now = view;
        if (endpoint.isLoopback() || client.isLoopback() || now.own().contains(endpoint)) {
            return false;
        }
        for (int i = 0; i < now.bridges().size(); i++) {
            Cidr bridge = now.bridges().get(i);
            if (bridge.contains(client) && bridge.contains(endpoint)) {
                return false;
            }
        }
        return true;
    }
}
