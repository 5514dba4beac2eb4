package io.sluice.rules;

import io.sluice.model.Cidr;
import io.sluice.model.Family;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Origins;
import io.sluice.objects.NodeObject;
import io.sluice.rules.EndpointRules.NodeLocality;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The properties of this node that the rules need, from the settings, its Node object and its interfaces.
 *
 * @param locality name and zone of this node
 * @param addresses addresses of this node, the primary one of each family first; empty if unknown
 * @param addressesFromSettings whether {@code addresses} come from the settings instead of the Node object
 * @param origins classifier of clients, which includes the addresses of the machine's interfaces
 * @param nodePortAddresses the known addresses on which NodePorts are served, at most {@link #MAX_NODE_PORT_ADDRESSES}
 * @param unservedNodePortAddresses the number of addresses that are not served because they exceed that maximum
 * @param nodePortRanges if not empty, a NodePort is one frontend for all local addresses in these ranges
 * @param masqueradeAll whether all traffic to ClusterIPs is masqueraded
 */
public record LocalNode(
        NodeLocality locality,
        List<IpAddress> addresses,
        boolean addressesFromSettings,
        Origins origins,
        List<IpAddress> nodePortAddresses,
        int unservedNodePortAddresses,
        List<Cidr> nodePortRanges,
        boolean masqueradeAll) {
    /**
     * Maximum number of addresses on which NodePorts are served. Each address needs a socket per NodePort, and a
     * machine can have thousands of addresses, for example on the dummy interface of kube-proxy's IPVS mode.
     */
    static final int MAX_NODE_PORT_ADDRESSES = 64;

    public LocalNode {
        addresses = List.copyOf(addresses);
        nodePortAddresses = List.copyOf(nodePortAddresses);
        nodePortRanges = List.copyOf(nodePortRanges);
    }

    static LocalNode of(BuildOptions options, @Nullable NodeObject node, List<IpAddress> interfaceAddresses) {
        List<IpAddress> addresses = options.nodeAddresses();
        if (addresses.isEmpty() && node != null) {
            addresses = node.addresses();
        }
        List<Cidr> pods = options.clusterCidrs();
        if (options.podsByNode()) {
            pods = node == null ? List.of() : node.podCidrs();
        }
        NodePortAddresses selection = options.nodePortAddresses();
        List<IpAddress> all = selection.select(addresses, interfaceAddresses);
        Set<IpAddress> own = new HashSet<>(addresses);
        own.addAll(interfaceAddresses);
        List<IpAddress> first = all.subList(0, Math.min(all.size(), MAX_NODE_PORT_ADDRESSES));
        return new LocalNode(
                new NodeLocality(options.nodeName(), node == null ? "" : node.zone()),
                addresses,
                !options.nodeAddresses().isEmpty(),
                new Origins(pods, own),
                first,
                all.size() - first.size(),
                options.wildcardNodePorts() && selection.includesInterfaces()
                        ? selection.allRanges(addresses)
                        : List.of(),
                options.masqueradeAll());
    }

    /** The ranges of pod addresses. Local traffic detection is disabled for a family without a range. */
    List<Cidr> pods() {
        return origins.pods();
    }

    /** Whether an address is known to be a local address of this node. */
    boolean isOwn(IpAddress address) {
        return origins.node().contains(address) || address.isLoopback();
    }

    /** Where Sluice found a local address, as a phrase for messages. */
    String sourceOf(IpAddress address) {
        if (addresses.contains(address)) {
            return addressesFromSettings ? "given by --node-ip" : "an address of Node " + locality.node();
        }
        return address.isLoopback() ? "loopback" : "on an interface of this machine";
    }

    /** The addresses on which each NodePort has a frontend; unspecified addresses if the frontends are wildcards. */
    List<IpAddress> nodePortFrontends() {
        return nodePortRanges.isEmpty()
                ? nodePortAddresses
                : Stream.of(Family.values())
                        .filter(family -> nodePortRanges.stream()
                                .anyMatch(range -> range.network().family() == family))
                        .map(IpAddress::unspecified)
                        .toList();
    }

    /** The wildcard frontend that serves a local address and port if the port is a NodePort; null if none can exist. */
    @Nullable
    FrontendAddress wildcardNodePort(FrontendAddress address) {
        // Called for every endpoint, and hardly any is at an address of this node, so the cheapest checks come first.
        return !nodePortRanges.isEmpty()
                        && isOwn(address.address())
                        && nodePortRanges.stream().anyMatch(range -> range.contains(address.address()))
                ? address.onAllAddresses()
                : null;
    }

    /**
     * Whether local traffic detection is enabled for a family: whether pods can be distinguished from other clients.
     */
    boolean detectsPods(Family family) {
        return pods().stream().anyMatch(range -> range.network().family() == family);
    }
}
