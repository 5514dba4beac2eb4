package io.sluice.rules;

import io.sluice.model.Cidr;
import io.sluice.model.IpAddress;
import java.util.List;

/**
 * What, beside the objects, decides a snapshot.
 *
 * @param nodeName this node; empty if unknown, and then no endpoint is local
 * @param nodeAddresses all addresses of this node, the first of a family being its primary one; empty for those its Node
 *     object has
 * @param clusterCidrs ranges whose addresses are pods; empty if pods cannot be told
 * @param podsByNode whether instead the Node object's podCIDRs are that
 * @param serviceCidrs ranges of cluster IPs, beside those of ServiceCIDR objects
 * @param masqueradeAll whether endpoints never see the clients of cluster IPs
 * @param frontendMap ranges whose frontends are listened on elsewhere, first match counts
 * @param serviceProxyName the name of the proxy whose Services are served, and no others; empty for those of no proxy
 *     in particular
 * @param wildcardNodePorts whether a node port on addresses of interfaces is one frontend for all of them, to which the
 *     kernel delivers (node mode), instead of one for each address
 */
public record BuildOptions(
        String nodeName,
        List<IpAddress> nodeAddresses,
        List<Cidr> clusterCidrs,
        boolean podsByNode,
        List<Cidr> serviceCidrs,
        NodePortAddresses nodePortAddresses,
        boolean masqueradeAll,
        List<AddressMap> frontendMap,
        String serviceProxyName,
        boolean wildcardNodePorts) {
    public BuildOptions {
        nodeAddresses = List.copyOf(nodeAddresses);
        clusterCidrs = List.copyOf(clusterCidrs);
        serviceCidrs = List.copyOf(serviceCidrs);
        frontendMap = List.copyOf(frontendMap);
    }

    /** Only a name, and all else as it is by default. */
    public static BuildOptions on(String nodeName) {
        return new BuildOptions(
                nodeName,
                List.of(),
                List.of(),
                false,
                List.of(),
                NodePortAddresses.DEFAULT,
                false,
                List.of(),
                "",
                false);
    }

    /** Moves frontend addresses in {@code from} to the same place in {@code to}; both of one family and size. */
    public record AddressMap(Cidr from, Cidr to) {
        public AddressMap {
            if (from.prefix() != to.prefix()
                    || from.network().family() != to.network().family()) {
                throw new IllegalArgumentException(from + " and " + to + " differ in family or size");
            }
        }
    }

    /** Where a frontend's address is listened on. */
    IpAddress listenedOn(IpAddress address) {
        for (AddressMap map : frontendMap) {
            if (map.from().contains(address)) {
                return map.from().translate(address, map.to());
            }
        }
        return address;
    }

    /** Where a range of frontends is listened on; itself if not all of it is moved alike. */
    Cidr listenedOn(Cidr range) {
        for (AddressMap map : frontendMap) {
            if (map.from().contains(range.network())) {
                return map.from().prefix() <= range.prefix()
                        ? new Cidr(map.from().translate(range.network(), map.to()), range.prefix())
                        : range;
            }
        }
        return range;
    }
}
