package io.sluice.model;

import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What a snapshot says beside its service ports.
 *
 * @param origins where clients are
 * @param healthChecks the Services a load balancer asks about, by {@code namespace/service}
 * @param serviceCidrs where cluster IPs are taken from: an address in one of these that belongs to no Service is nobody's
 * @param conflicts who is not served at an address because somebody else is
 * @param nodePortRanges where node ports answer that are frontends at the unspecified address: on every local address in
 *     one of these ranges
 * @param unservedClusterIps those of Services none of whose ports is served there
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
