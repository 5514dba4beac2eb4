package io.sluice.rules;

import static java.util.Objects.requireNonNull;

import io.sluice.document.Problem;
import io.sluice.model.AddressConflict;
import io.sluice.model.Cidr;
import io.sluice.model.Endpoint;
import io.sluice.model.Family;
import io.sluice.model.Frontend;
import io.sluice.model.Frontend.Kind;
import io.sluice.model.FrontendAddress;
import io.sluice.model.HealthCheck;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SnapshotContext;
import io.sluice.model.TrafficPolicy;
import io.sluice.model.TrafficPolicy.Removal;
import io.sluice.objects.EndpointsObject.SliceEndpoint;
import io.sluice.objects.NamedPort;
import io.sluice.objects.NodeObject;
import io.sluice.objects.ServiceKey;
import io.sluice.objects.ServiceObject;
import io.sluice.objects.ServiceObject.Port;
import io.sluice.rules.EndpointChains.Link;
import io.sluice.rules.EndpointRules.EndpointLists;
import io.sluice.rules.EndpointRules.Policies;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Builds snapshots from the object store incrementally: the cost of a change depends on the Services that it affects,
 * not on the number of Services. Confined to one thread.
 */
public final class SnapshotBuilder {
    private static final NamedPort HEALTH_CHECK = new NamedPort("", Protocol.TCP, 1);

    private final BuildOptions options;
    private final ObjectStore store;
    private final ProblemTracker problems;
    private final ServiceProblems serviceProblems;
    private final ServicePolicies policies;
    private final AddressClaims claims = new AddressClaims();
    private final EndpointAddressIndex endpointIndex = new EndpointAddressIndex();
    private final EndpointChains chains = new EndpointChains();
    private final Map<String, HealthCheck> healthChecks = new HashMap<>();
    private boolean healthChecksChanged;
    /** Address conflicts by Service. Few Services have conflicts. */
    private final Map<ServiceKey, List<AddressConflict>> conflicts = new TreeMap<>();

    private boolean conflictsChanged;
    /**
     * ClusterIPs without a frontend, because their Service has no supported port or another Service uses the address.
     */
    private final Map<ServiceKey, Set<IpAddress>> unserved = new HashMap<>();

    private boolean unservedChanged;

    private List<IpAddress> interfaceAddresses = List.of();
    private LocalNode localNode;
    private ServiceSnapshot snapshot = ServiceSnapshot.empty();

    public SnapshotBuilder(BuildOptions options, ObjectStore store, ProblemTracker problems) {
        this.options = options;
        this.store = store;
        this.problems = problems;
        this.serviceProblems = new ServiceProblems(store);
        this.policies = new ServicePolicies(options.serviceDefaults(), store);
        localNode = LocalNode.of(options, null, interfaceAddresses);
    }

    /** Sets the addresses of the machine's interfaces for the following builds. */
    public void interfaceAddresses(List<IpAddress> addresses) {
        interfaceAddresses = List.copyOf(addresses);
    }

    /** Builds a snapshot from the changes in the store. A service port that has not changed keeps its instance. */
    public ServiceSnapshot build() {
        Set<ServiceKey> dirty = store.takeDirty();
        LocalNode now = LocalNode.of(options, store.node(options.nodeName()), interfaceAddresses);
        if (!now.equals(localNode)) {
            // The node changes rarely, so all Services are rebuilt. Unchanged service ports keep their instance.
            localNode = now;
            dirty.addAll(store.services());
        }
        problems.put(this, ServiceProblems.ofNode(localNode, options));
        Set<ServiceKey> affected = new LinkedHashSet<>(dirty);
        Set<ServicePortName> remove = new HashSet<>();
        for (ServiceKey key : dirty) {
            remove.addAll(updateClaims(key, affected));
        }
        affected.forEach(this::updateLinks);
        affected.addAll(chains.evaluate());
        List<ServicePort> put = new ArrayList<>();
        for (ServiceKey key : affected) {
            updateService(key, put, remove);
        }
        put.forEach(port -> remove.remove(port.name()));
        SnapshotContext before = snapshot.context();
        snapshot = snapshot.with(put, remove)
                .with(new SnapshotContext(
                        localNode.origins(),
                        healthChecksChanged ? healthChecks : before.healthChecks(),
                        serviceCidrs(),
                        conflictsChanged ? allConflicts() : before.conflicts(),
                        localNode.nodePortRanges(),
                        unservedChanged ? allUnserved() : before.unservedClusterIps()));
        healthChecksChanged = false;
        conflictsChanged = false;
        unservedChanged = false;
        return snapshot;
    }

    private List<Cidr> serviceCidrs() {
        if (!options.serviceProxyName().isEmpty()) {
            // Another proxy serves most addresses in these ranges, so an address that is not in the feed may be in use.
            return List.of();
        }
        Set<Cidr> all = store.serviceCidrs();
        all.addAll(options.serviceCidrs());
        // Sorted, so that the snapshot does not depend on the order of events.
        return all.stream()
                .map(options::listenedOn)
                .sorted(Comparator.comparing(Cidr::network).thenComparing(Cidr::prefix))
                .toList();
    }

    /** Returns a tracer for the current objects and a snapshot that was built from them. */
    public Tracer tracer(ServiceSnapshot snapshot) {
        return new Tracer(options, store, localNode, snapshot);
    }

    /** The state of this node as of the last build. */
    public LocalNode localNode() {
        return localNode;
    }

    AddressClaims claims() {
        return claims;
    }

    /**
     * Why this node is not eligible for new traffic from load balancers; empty if it is eligible.
     *
     * @param exists whether the Node object exists; null to look it up in the store
     */
    public Optional<String> nodeIneligibleReason(@Nullable Boolean exists) {
        NodeObject node = store.node(options.nodeName());
        if (node == null || Boolean.FALSE.equals(exists)) {
            return exists != null || store.hasSeenNodes()
                    ? Optional.of("there is no Node " + options.nodeName())
                    : Optional.empty();
        }
        return node.ineligible().isEmpty() ? Optional.empty() : Optional.of(node.ineligible());
    }

    /** Updates the address claims of a Service. Returns the service ports that may have lost their addresses. */
    private Set<ServicePortName> updateClaims(ServiceKey key, Set<ServiceKey> affected) {
        ServiceObject service = store.service(key);
        Map<FrontendAddress, ServicePortName> wanted = new HashMap<>();
        if (service != null) {
            for (Port port : service.ports()) {
                ServicePortName name = nameOf(key, port.named());
                addresses(service, port).keySet().forEach(address -> wanted.putIfAbsent(address, name));
            }
            if (service.external().healthCheckPort() != 0) {
                wanted.put(healthCheckOf(service), nameOf(key, HEALTH_CHECK));
            }
        }
        return claims.replace(
                key,
                service == null ? 0 : service.createdSeconds(),
                wanted,
                address -> affected.addAll(endpointIndex.servicesFor(address)),
                affected::add);
    }

    private Map<FrontendAddress, Kind> addresses(ServiceObject service, Port port) {
        return FrontendRules.addresses(service, port, localNode, options);
    }

    private static ServicePortName nameOf(ServiceKey key, NamedPort port) {
        return new ServicePortName(key.namespace(), key.name(), port.name(), port.protocol());
    }

    /** Updates the endpoint addresses of a Service, and the links to endpoints that are also frontends. */
    private void updateLinks(ServiceKey key) {
        Set<FrontendAddress> endpointAddresses = new HashSet<>();
        Set<Link> links = new HashSet<>();
        ServiceObject service = store.service(key);
        for (Port port : service == null ? List.<Port>of() : service.ports()) {
            ServicePortName name = nameOf(key, port.named());
            Map<FrontendAddress, Kind> addresses = addresses(requireNonNull(service), port);
            if (addresses.keySet().stream().noneMatch(address -> name.equals(claims.ownerOf(address)))) {
                continue;
            }
            EndpointRules.forEach(port.named(), store.endpoints(key), (sliceEndpoint, number) -> {
                FrontendAddress endpoint = new FrontendAddress(name.protocol(), sliceEndpoint.address(), number);
                endpointAddresses.add(endpoint);
                ServicePortName owner = claims.ownerOf(endpoint);
                FrontendAddress wildcard = localNode.wildcardNodePort(endpoint);
                if (wildcard != null) {
                    endpointAddresses.add(wildcard);
                    owner = owner == null ? claims.ownerOf(wildcard) : owner;
                }
                Kind kind = addresses.getOrDefault(endpoint, Kind.NODE_PORT);
                // An external or LoadBalancer IP of the Service may be a real endpoint, on the machine that owns the
                // address.
                if (owner != null && !(owner.equals(name) && Frontend.mayBeAnEndpoint(kind))) {
                    links.add(new Link(name, endpoint, owner));
                }
            });
        }
        endpointIndex.replace(key, endpointAddresses);
        chains.replace(key, links);
    }

    /** Builds the ports of a Service with the addresses that it owns, and reports conflicts about the others. */
    private void updateService(ServiceKey key, List<ServicePort> put, Set<ServicePortName> remove) {
        Set<Problem> found = new LinkedHashSet<>();
        List<AddressConflict> lost = new ArrayList<>();
        ServiceObject service = store.service(key);
        List<ServicePort> ports = service == null ? List.of() : ownedPorts(service, found, lost);
        List<AddressConflict> lostBefore = lost.isEmpty() ? conflicts.remove(key) : conflicts.put(key, lost);
        conflictsChanged |= !lost.equals(lostBefore == null ? List.of() : lostBefore);
        Set<IpAddress> without = service == null ? Set.of() : unservedClusterIps(service, ports);
        Set<IpAddress> withoutBefore = without.isEmpty() ? unserved.remove(key) : unserved.put(key, without);
        unservedChanged |= !without.equals(withoutBefore == null ? Set.of() : withoutBefore);
        put.addAll(ports);
        updateHealthCheck(key, service, found);
        problems.put(key, List.copyOf(found));
        if (service != null) {
            service.ports().forEach(port -> remove.add(nameOf(key, port.named())));
        }
    }

    /** Represents a health check node port as an address, so that conflicts are resolved as for other addresses. */
    private static FrontendAddress healthCheckOf(ServiceObject service) {
        return new FrontendAddress(
                Protocol.TCP, IpAddress.v4(0), service.external().healthCheckPort());
    }

    private void updateHealthCheck(ServiceKey key, @Nullable ServiceObject service, Set<Problem> found) {
        ServicePortName owner = service == null || service.external().healthCheckPort() == 0
                ? null
                : claims.ownerOf(healthCheckOf(service));
        if (service == null || owner == null || !ServiceProblems.isOwn(key, owner)) {
            healthChecksChanged |= healthChecks.remove(key.toString()) != null;
            if (owner != null && service != null) {
                found.add(
                        serviceProblems.healthCheckPort(key, service.external().healthCheckPort(), owner));
            }
            return;
        }
        HealthCheck check = new HealthCheck(
                // An empty list means all addresses, so the health check stays reachable even if no address is known.
                options.nodePortAddresses().isAll() ? List.of() : localNode.nodePortAddresses(),
                service.external().healthCheckPort(),
                EndpointRules.localReady(store.endpoints(key), localNode.locality()));
        healthChecksChanged |= !check.equals(healthChecks.put(key.toString(), check));
    }

    private Set<IpAddress> unservedClusterIps(ServiceObject service, List<ServicePort> ports) {
        Set<IpAddress> addresses = new HashSet<>();
        service.clusterIps().forEach(address -> addresses.add(options.listenedOn(address)));
        for (ServicePort port : ports) {
            for (Frontend frontend : port.frontends()) {
                if (frontend.kind() == Kind.CLUSTER_IP) {
                    addresses.remove(frontend.address().address());
                }
            }
        }
        return addresses;
    }

    private Set<IpAddress> allUnserved() {
        return unserved.values().stream().flatMap(Set::stream).collect(Collectors.toSet());
    }

    private List<AddressConflict> allConflicts() {
        return conflicts.values().stream().flatMap(List::stream).toList();
    }

    private List<ServicePort> ownedPorts(ServiceObject service, Set<Problem> found, List<AddressConflict> lost) {
        ServiceKey key = service.service();
        TrafficPolicy policy = policies.of(service, found);
        List<ServicePort> ports = new ArrayList<>();
        for (Port port : service.ports()) {
            ServicePortName name = nameOf(key, port.named());
            Map<FrontendAddress, Kind> owned = addresses(service, port);
            owned.entrySet().removeIf(entry -> {
                ServicePortName owner = claims.ownerOf(entry.getKey());
                if (owner != null && !name.equals(owner)) {
                    found.add(serviceProblems.conflict(key, entry.getKey(), entry.getValue(), owner));
                    lost.add(new AddressConflict(entry.getKey(), name, owner));
                }
                return !name.equals(owner);
            });
            if (!owned.isEmpty()) {
                ports.add(servicePort(
                        service,
                        port,
                        ServicePolicies.forProtocol(policy, port.named().protocol()),
                        owned,
                        found));
            }
        }
        return ports;
    }

    private ServicePort servicePort(
            ServiceObject service,
            Port port,
            TrafficPolicy policy,
            Map<FrontendAddress, Kind> owned,
            Set<Problem> found) {
        ServiceKey key = service.service();
        ServicePortName name = nameOf(key, port.named());
        Map<Endpoint, SliceEndpoint> endpoints = EndpointRules.endpointsOf(port.named(), store.endpoints(key));
        Set<Endpoint> frontendEndpoints = removeExcluded(name, endpoints.keySet(), found);
        Map<Family, EndpointLists> listsByFamily = new EnumMap<>(Family.class);
        boolean holds = name.protocol() == Protocol.TCP
                && policy.lifetime().holdNanos() > 0
                && endpoints.values().stream().noneMatch(EndpointRules::isUsable);
        Route reject = holds ? Route.HOLD : Route.REJECT;
        List<Frontend> frontends = new ArrayList<>(owned.size());
        owned.forEach((address, kind) -> {
            EndpointLists lists = listsByFamily.computeIfAbsent(
                    address.address().family(),
                    family -> EndpointRules.categorize(
                            EndpointRules.ofFamily(family, endpoints),
                            Policies.of(service, port, family),
                            localNode.locality()));
            Frontend frontend =
                    FrontendRules.frontend(service, kind, address, policy, lists, reject, frontendEndpoints, localNode);
            if (frontend.passesAny()) {
                found.add(serviceProblems.passed(key, frontend));
            }
            frontends.add(frontend);
        });
        policies.checkSourceRanges(service, policy, frontends, found);
        boolean endsConnections =
                name.protocol() == Protocol.UDP || policy.lifetime().removal() != Removal.KEEP;
        return new ServicePort(
                name,
                service.affinity(),
                policy,
                endsConnections ? EndpointRules.servingEndpoints(endpoints) : Set.of(),
                EndpointRules.preferred(
                        policy.balancing().preference(), listsByFamily.values(), endpoints, localNode.locality()),
                frontends);
    }

    /** Removes endpoints that would cause loops or long chains. Returns the remaining ones that are also frontends. */
    private Set<Endpoint> removeExcluded(ServicePortName name, Set<Endpoint> endpoints, Set<Problem> found) {
        ServiceKey key = new ServiceKey(name.namespace(), name.service());
        Set<Endpoint> frontendEndpoints = new HashSet<>();
        for (Link link : chains.linksOf(key)) {
            if (!link.from().equals(name)) {
                continue;
            }
            Endpoint endpoint =
                    new Endpoint(link.endpoint().address(), link.endpoint().port());
            String why = chains.exclusionReason(link);
            if (why == null) {
                frontendEndpoints.add(endpoint);
            } else {
                endpoints.remove(endpoint);
                found.add(serviceProblems.excludedEndpoint(key, link, why));
            }
        }
        return frontendEndpoints;
    }
}
