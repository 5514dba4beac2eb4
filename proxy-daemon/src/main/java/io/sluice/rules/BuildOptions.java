package io.sluice.rules;

import io.sluice.model.Cidr;
import io.sluice.model.IpAddress;
import java.util.List;

/**
 * The settings that determine a snapshot, together with the objects of the feed.
 *
 * @param nodeName the name of this node; empty if unknown, in which case no endpoint is local
 * @param nodeAddresses all addresses of this node, the primary one of each family first; empty to use the addresses in
 *     its Node object
 * @param clusterCidrs the ranges of pod addresses for local traffic detection; empty to disable it
 * @param podsByNode whether local traffic detection uses the podCIDRs of the Node object instead of {@code
 *     clusterCidrs}
 * @param serviceCidrs ranges of ClusterIPs, in addition to those of ServiceCIDR objects
 * @param masqueradeAll whether all traffic to ClusterIPs is masqueraded
 * @param frontendMap ranges whose frontends are served at other addresses; the first matching entry applies
 * @param serviceProxyName value of the label {@code service.kubernetes.io/service-proxy-name} on the Services to serve;
 *     empty to serve the Services without this label
 * @param wildcardNodePorts whether a NodePort served on interface addresses is a single frontend for all addresses
 *     (node mode), instead of one frontend per address
 * @param serviceDefaults the traffic policy of Services whose annotations do not set it
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
        boolean wildcardNodePorts,
        PolicyValues serviceDefaults) {
    public BuildOptions {
        nodeAddresses = List.copyOf(nodeAddresses);
        clusterCidrs = List.copyOf(clusterCidrs);
        serviceCidrs = List.copyOf(serviceCidrs);
        frontendMap = List.copyOf(frontendMap);
    }

    /** Creates options without defaults of traffic policies. */
    public BuildOptions(
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
        this(
                nodeName,
                nodeAddresses,
                clusterCidrs,
                podsByNode,
                serviceCidrs,
                nodePortAddresses,
                masqueradeAll,
                frontendMap,
                serviceProxyName,
                wildcardNodePorts,
                PolicyValues.NONE);
    }

    /** Creates the default options for a node with the given name. */
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

    /**
     * Maps each frontend address in {@code from} to the address at the same offset in {@code to}. Both ranges must have
     * the same family and size.
     */
    public record AddressMap(Cidr from, Cidr to) {
        public AddressMap {
            if (from.prefix() != to.prefix()
                    || from.network().family() != to.network().family()) {
                throw new IllegalArgumentException(from + " and " + to + " differ in family or size");
            }
        }
    }

    /** The address at which a frontend address is served. */
    IpAddress listenedOn(IpAddress address) {
        for (AddressMap map : frontendMap) {
            if (map.from().contains(address)) {
                return map.from().translate(address, map.to());
            }
        }
        return address;
    }

    /** The range at which a range of frontend addresses is served; unchanged unless one mapping covers all of it. */
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
