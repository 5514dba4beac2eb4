package io.sluice.model;

import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The part of a snapshot that does not belong to a single service port.
 *
 * @param origins the pod ranges and node addresses that determine the origin of a client
 * @param healthChecks the health checks of Services with a {@code healthCheckNodePort}, by {@code namespace/service}
 * @param serviceCidrs the ServiceCIDRs, from which ClusterIPs are allocated; an address in one of them that belongs to
 *     no Service is unallocated
 * @param conflicts the conflicts between service ports that claim the same address
 * @param nodePortRanges the address ranges of NodePorts: a NodePort frontend at the unspecified address is served on
 *     the local addresses in these ranges
 * @param unservedClusterIps the ClusterIPs at which no port of their Service is served
 */
public record SnapshotContext(
        Origins origins,
        Map<String, HealthCheck> healthChecks,
        List<Cidr> serviceCidrs,
        List<AddressConflict> conflicts,
        List<Cidr> nodePortRanges,
        Set<IpAddress> unservedClusterIps) {
    static final SnapshotContext NONE =
            new SnapshotContext(Origins.UNKNOWN, Map.of(), List.of(), List.of(), List.of(), Set.of());

    public SnapshotContext {
        healthChecks = Map.copyOf(healthChecks);
        serviceCidrs = List.copyOf(serviceCidrs);
        conflicts = List.copyOf(conflicts);
        nodePortRanges = List.copyOf(nodePortRanges);
        unservedClusterIps = Set.copyOf(unservedClusterIps);
    }
}
