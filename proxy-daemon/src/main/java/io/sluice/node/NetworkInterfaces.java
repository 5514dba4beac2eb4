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

/** The machine's addresses and bridges, as of the last look at its interfaces. */
public final class NetworkInterfaces {
    private static final Logger log = LoggerFactory.getLogger(NetworkInterfaces.class);

    /** Unlike /sys, it shows the network namespace of the thread that reads it. */
    private static final Path BRIDGE_HOOKS = Path.of("/proc/sys/net/bridge");

    private final NodeKernel kernel;
    private volatile View view = new View(Set.of(), List.of());
    private volatile boolean failing;

    private record View(Set<IpAddress> own, List<Cidr> bridges) {}

    NetworkInterfaces(NodeKernel kernel) {
        this.kernel = kernel;
    }

    /** Looks at the machine's interfaces. Any thread; not for a loop. */
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
            view = new View(Set.copyOf(own), List.copyOf(bridges));
            if (failing) {
                failing = false;
                log.info("the network interfaces can be listed again");
            }
        } catch (IOException e) {
            if (!failing) {
                failing = true;
                log.warn("the network interfaces cannot be listed; using the last known ones: {}", e.getMessage());
            }
        }
    }

    /** Whether what comes over a bridge may pass the rules while it is there (the module br_netfilter). */
    boolean bridgesAreHooked() {
        return !view.bridges().isEmpty() && Files.exists(BRIDGE_HOOKS);
    }

    /** Whether an address is on one of the machine's interfaces. Any thread, a loop too; likewise the other. */
    public boolean isOwn(IpAddress address) {
        return view.own().contains(address);
    }

    /**
     * Whether the answer of an endpoint that sees a client's own address comes back through this node's routing. Not so
     * for an endpoint at the node's own addresses, whose answer never enters, and for one on the same bridge as the
     * client, whose answer is switched past us.
     */
    public boolean answersReturn(IpAddress client, IpAddress endpoint) {
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
