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
 * This node as the rules see it, from the settings, its Node object and its interfaces.
 *
 * @param addresses the first of a family is its primary one; empty if unknown
 * @param addressesGiven whether they come from the settings, not from the Node object
 * @param origins where clients are: with the addresses of the machine's interfaces, which may be more
 * @param nodePortAddresses where node ports answer, as far as the addresses are known; at most
 *     {@link #MAX_NODE_PORT_ADDRESSES}
 * @param unservedNodePortAddresses how many more there are
 * @param nodePortRanges if not empty, a node port is one frontend for all local addresses in these ranges
 */
public record LocalNode(
        NodeLocality place,
        List<IpAddress> addresses,
        boolean addressesGiven,
        Origins origins,
        List<IpAddress> nodePortAddresses,
        int unservedNodePortAddresses,
        List<Cidr> nodePortRanges,
        boolean masqueradeAll) {
    /** Each costs a socket for each node port. A machine may have thousands, such as an IPVS proxy's dummy interface. */
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
        NodePortAddresses where = options.nodePortAddresses();
        List<IpAddress> all = where.select(addresses, interfaceAddresses);
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
                options.wildcardNodePorts() && where.includesInterfaces() ? where.allRanges(addresses) : List.of(),
                options.masqueradeAll());
    }

    /** Ranges whose addresses are pods; a family without one does not tell its pods from others. */
    List<Cidr> pods() {
        return origins.pods();
    }

    /** Whether an address is known to be this node's. */
    boolean isOwn(IpAddress address) {
        return origins.node().contains(address) || address.isLoopback();
    }

    /** How that is known, for people. */
    String sourceOf(IpAddress address) {
        if (addresses.contains(address)) {
            return addressesGiven ? "given by --node-ip" : "an address of Node " + place.node();
        }
        return address.isLoopback() ? "loopback" : "on an interface of this machine";
    }

    /** The addresses of the frontends of a node port. */
    List<IpAddress> nodePortFrontends() {
        return nodePortRanges.isEmpty()
                ? nodePortAddresses
                : Stream.of(Family.values())
                        .filter(family -> nodePortRanges.stream()
                                .anyMatch(range -> range.network().family() == family))
                        .map(IpAddress::unspecified)
                        .toList();
    }

    /** The frontend that an address and port of this node belong to if that is a node port; null if it cannot be one. */
    @Nullable
    FrontendAddress wildcardNodePort(FrontendAddress address) {
        // Asked for every endpoint, of which hardly any is here.
        return !nodePortRanges.isEmpty()
                        && isOwn(address.address())
                        && nodePortRanges.stream().anyMatch(range -> range.contains(address.address()))
                ? address.onAllAddresses()
                : null;
    }

    /** Whether pods of a family can be told from other clients: what kube-proxy calls a local detector. */
    boolean tellsPods(Family family) {
        return pods().stream().anyMatch(range -> range.network().family() == family);
    }
}
