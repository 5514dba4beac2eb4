package io.sluice.objects;

import io.sluice.model.Cidr;
import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import io.sluice.model.SessionAffinity;
import java.util.List;

/**
 * A Service.
 *
 * @param createdSeconds seconds since 1970, or {@link #NOT_CREATED}
 * @param clusterIps at most one of each family; empty if there is nothing to serve: headless, ExternalName, or another
 *     proxy's
 * @param internalLocal whether internalTrafficPolicy is Local
 */
public record ServiceObject(
        ObjectKey key,
        long createdSeconds,
        List<IpAddress> clusterIps,
        SessionAffinity affinity,
        boolean internalLocal,
        External external,
        List<Port> ports)
        implements KubeObject {
    /** A manifest that never saw an API server is younger than everything that did. */
    public static final long NOT_CREATED = Long.MAX_VALUE;

    public ServiceObject {
        clusterIps = List.copyOf(clusterIps);
        ports = List.copyOf(ports);
    }

    /**
     * One port.
     *
     * @param nodePort 0 if there is none
     */
    public record Port(NamedPort named, int nodePort) {}

    /**
     * How clients outside the cluster reach it; most Services share {@link #NONE}.
     *
     * @param local whether externalTrafficPolicy is Local and means something for this Service
     * @param loadBalancerIps those that send their packets here unchanged, and not to a proxy of their own
     * @param sourceRanges whom the load-balancer addresses admit; a family without one admits all
     * @param healthCheckPort 0 if there is none
     */
    public record External(
            boolean local,
            List<IpAddress> externalIps,
            List<IpAddress> loadBalancerIps,
            List<Cidr> sourceRanges,
            int healthCheckPort) {
        public static final External NONE = new External(false, List.of(), List.of(), List.of(), 0);

        public External {
            externalIps = List.copyOf(externalIps);
            loadBalancerIps = List.copyOf(loadBalancerIps);
            sourceRanges = List.copyOf(sourceRanges);
        }
    }

    /** Its cluster IP of a family decides whether it exists in that family at all. */
    public boolean hasFamily(Family family) {
        for (IpAddress clusterIp : clusterIps) {
            if (clusterIp.family() == family) {
                return true;
            }
        }
        return false;
    }

    /** Whether a port has an address of this family for clients outside; only then does its external policy count. */
    public boolean isExternal(Port port, Family family) {
        return port.nodePort() != 0
                || hasAny(external.externalIps(), family)
                || hasAny(external.loadBalancerIps(), family);
    }

    private static boolean hasAny(List<IpAddress> addresses, Family family) {
        return addresses.stream().anyMatch(address -> address.family() == family);
    }

    @Override
    public ServiceKey service() {
        return new ServiceKey(key.namespace(), key.name());
    }
}
