package io.sluice.objects;

import io.sluice.model.Cidr;
import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import io.sluice.model.SessionAffinity;
import java.util.List;
import java.util.Map;

/**
 * A Service.
 *
 * @param createdSeconds creation time in seconds since 1970, or {@link #NOT_CREATED}
 * @param clusterIps at most one of each family; empty if the Service is not served: headless, ExternalName, or served
 *     by another proxy
 * @param internalLocal whether internalTrafficPolicy is Local
 * @param annotations the annotations that set the traffic policy, without the prefix {@code service.sluice.io/}
 */
public record ServiceObject(
        ObjectKey key,
        long createdSeconds,
        List<IpAddress> clusterIps,
        SessionAffinity affinity,
        boolean internalLocal,
        External external,
        List<Port> ports,
        Map<String, String> annotations)
        implements KubeObject {
    /** Creation time if the manifest contains none: later than that of every object from an API server. */
    public static final long NOT_CREATED = Long.MAX_VALUE;

    public ServiceObject {
        clusterIps = List.copyOf(clusterIps);
        ports = List.copyOf(ports);
        annotations = Map.copyOf(annotations);
    }

    /** Creates a Service without annotations. */
    public ServiceObject(
            ObjectKey key,
            long createdSeconds,
            List<IpAddress> clusterIps,
            SessionAffinity affinity,
            boolean internalLocal,
            External external,
            List<Port> ports) {
        this(key, createdSeconds, clusterIps, affinity, internalLocal, external, ports, Map.of());
    }

    /**
     * A port of a Service.
     *
     * @param nodePort the NodePort; 0 if there is none
     */
    public record Port(NamedPort named, int nodePort) {}

    /**
     * The fields for external clients. Most Services share {@link #NONE}.
     *
     * @param local whether externalTrafficPolicy is Local and applies to this Service
     * @param loadBalancerIps the LoadBalancer IPs with ipMode VIP, whose packets arrive with an unchanged destination
     * @param sourceRanges the allowed source ranges of the LoadBalancer IPs; if a family has no range, all its clients
     *     are allowed
     * @param healthCheckPort the health check node port; 0 if there is none
     */
    public record External(
            boolean local,
            List<IpAddress> externalIps,
            List<IpAddress> loadBalancerIps,
            List<Cidr> sourceRanges,
            int healthCheckPort) {
        /** No external addresses. */
        public static final External NONE = new External(false, List.of(), List.of(), List.of(), 0);

        public External {
            externalIps = List.copyOf(externalIps);
            loadBalancerIps = List.copyOf(loadBalancerIps);
            sourceRanges = List.copyOf(sourceRanges);
        }
    }

    /** Whether the Service has a ClusterIP of a family. Without one, the Service is not served in that family. */
    public boolean hasFamily(Family family) {
        for (IpAddress clusterIp : clusterIps) {
            if (clusterIp.family() == family) {
                return true;
            }
        }
        return false;
    }

    /**
     * Whether a port has an address of a family for external clients. Without such an address, externalTrafficPolicy
     * has no effect.
     */
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
