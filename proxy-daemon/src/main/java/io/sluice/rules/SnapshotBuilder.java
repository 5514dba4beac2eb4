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
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SnapshotContext;
import io.sluice.objects.EndpointsObject.Backend;
import io.sluice.objects.NamedPort;
import io.sluice.objects.NodeObject;
import io.sluice.objects.ServiceKey;
import io.sluice.objects.ServiceObject;
import io.sluice.objects.ServiceObject.Port;
import io.sluice.rules.EndpointChains.Link;
import io.sluice.rules.EndpointRules.Choice;
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
 * Keeps a snapshot equal to the store, service by service: a change costs what it touches, however many services there
 * are. Confined to one thread.
 */
public final class SnapshotBuilder {
    private static final NamedPort HEALTH_CHECK = new NamedPort("", Protocol.TCP, 1);

    private final BuildOptions options;
    private final ObjectStore store;
    private final ProblemTracker problems;
    private final ServiceProblems faults;
    private final AddressClaims claims = new AddressClaims();
    private final EndpointAddressIndex dialled = new EndpointAddressIndex();
    private final EndpointChains chains = new EndpointChains();
    private final Map<String, HealthCheck> healthChecks = new HashMap<>();
    private boolean healthChecksChanged;
    /** Few services have any. */
    private final Map<ServiceKey, List<AddressConflict>> conflicts = new TreeMap<>();

    private boolean conflictsChanged;
    /** Likewise: of ports that are not forwarded only, or that another has. */
    private final Map<ServiceKey, Set<IpAddress>> unserved = new HashMap<>();

    private boolean unservedChanged;

    private List<IpAddress> interfaceAddresses = List.of();
    private LocalNode here;
    private ServiceSnapshot snapshot = ServiceSnapshot.empty();

    public SnapshotBuilder(BuildOptions options, ObjectStore store, ProblemTracker problems) {
        this.options = options;
        this.store = store;
        this.problems = problems;
        this.faults = new ServiceProblems(store);
        here = LocalNode.of(options, null, interfaceAddresses);
    }

    /** From the next build on, the machine's interfaces have these addresses. */
    public void interfaceAddresses(List<IpAddress> addresses) {
        interfaceAddresses = List.copyOf(addresses);
    }

    /** Takes in what the store says was touched. An unchanged service port keeps its instance. */
    public ServiceSnapshot build() {
        Set<ServiceKey> dirty = store.takeDirty();
        LocalNode now = LocalNode.of(options, store.node(options.nodeName()), interfaceAddresses);
        if (!now.equals(here)) {
            // Seldom enough for all services; those for which nothing changes keep their instance.
            here = now;
            dirty.addAll(store.services());
        }
        problems.put(this, ServiceProblems.ofNode(here, options));
        Set<ServiceKey> affected = new LinkedHashSet<>(dirty);
        Set<ServicePortName> remove = new HashSet<>();
        for (ServiceKey key : dirty) {
            remove.addAll(claim(key, affected));
        }
        affected.forEach(this::link);
        affected.addAll(chains.judge());
        List<ServicePort> put = new ArrayList<>();
        for (ServiceKey key : affected) {
            settle(key, put, remove);
        }
        put.forEach(port -> remove.remove(port.name()));
        SnapshotContext before = snapshot.context();
        snapshot = snapshot.with(put, remove)
                .with(new SnapshotContext(
                        here.origins(),
                        healthChecksChanged ? healthChecks : before.healthChecks(),
                        serviceCidrs(),
                        conflictsChanged ? allConflicts() : before.conflicts(),
                        here.nodePortRanges(),
                        unservedChanged ? allUnserved() : before.unservedClusterIps()));
        healthChecksChanged = false;
        conflictsChanged = false;
        unservedChanged = false;
        return snapshot;
    }

    private List<Cidr> serviceCidrs() {
        if (!options.serviceProxyName().isEmpty()) {
            // Most of what is in them is served by somebody else: an address we do not know is not nobody's.
            return List.of();
        }
        Set<Cidr> all = store.serviceCidrs();
        all.addAll(options.serviceCidrs());
        // In an order that does not tell when they came.
        return all.stream()
                .map(options::listenedOn)
                .sorted(Comparator.comparing(Cidr::network).thenComparing(Cidr::prefix))
                .toList();
    }

    /** This node, as of the last build. */
    public LocalNode here() {
        return here;
    }

    AddressClaims claims() {
        return claims;
    }

    /**
     * Why no new traffic should be sent to this node; empty if it should.
     *
     * @param exists whether there is a Node of this name; null if only the store tells
     */
    public Optional<String> nodeUnfit(@Nullable Boolean exists) {
        NodeObject node = store.node(options.nodeName());
        if (node == null || Boolean.FALSE.equals(exists)) {
            return exists != null || store.knowsNodes()
                    ? Optional.of("there is no Node " + options.nodeName())
                    : Optional.empty();
        }
        return node.unfit().isEmpty() ? Optional.empty() : Optional.of(node.unfit());
    }

    /** Returns the service ports that may be without an address now. */
    private Set<ServicePortName> claim(ServiceKey key, Set<ServiceKey> affected) {
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
                address -> affected.addAll(dialled.by(address)),
                affected::add);
    }

    private Map<FrontendAddress, Kind> addresses(ServiceObject service, Port port) {
        return FrontendRules.addresses(service, port, here, options);
    }

    private static ServicePortName nameOf(ServiceKey key, NamedPort port) {
        return new ServicePortName(key.namespace(), key.name(), port.name(), port.protocol());
    }

    /** Notes to which addresses the service forwards, and which of them are frontends. */
    private void link(ServiceKey key) {
        Set<FrontendAddress> dials = new HashSet<>();
        Set<Link> links = new HashSet<>();
        ServiceObject service = store.service(key);
        for (Port port : service == null ? List.<Port>of() : service.ports()) {
            ServicePortName name = nameOf(key, port.named());
            Map<FrontendAddress, Kind> addresses = addresses(requireNonNull(service), port);
            if (addresses.keySet().stream().noneMatch(address -> name.equals(claims.ownerOf(address)))) {
                continue;
            }
            EndpointRules.forEach(port.named(), store.endpoints(key), (backend, number) -> {
                FrontendAddress endpoint = new FrontendAddress(name.protocol(), backend.address(), number);
                dials.add(endpoint);
                ServicePortName owner = claims.ownerOf(endpoint);
                FrontendAddress wildcard = here.wildcardNodePort(endpoint);
                if (wildcard != null) {
                    dials.add(wildcard);
                    owner = owner == null ? claims.ownerOf(wildcard) : owner;
                }
                Kind kind = addresses.getOrDefault(endpoint, Kind.NODE_PORT);
                // An endpoint of the Service that it is an address of may be real, where a machine has that address.
                if (owner != null && !(owner.equals(name) && Frontend.mayBeAnEndpoint(kind))) {
                    links.add(new Link(name, endpoint, owner));
                }
            });
        }
        dialled.replace(key, dials);
        chains.replace(key, links);
    }

    /** Puts into the snapshot what the service wants and owns, and reports what it wants in vain. */
    private void settle(ServiceKey key, List<ServicePort> put, Set<ServicePortName> remove) {
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
        check(key, service, found);
        problems.put(key, List.copyOf(found));
        if (service != null) {
            service.ports().forEach(port -> remove.add(nameOf(key, port.named())));
        }
    }

    /** The port of a health check as an address that is claimed, so that of several services the older has it. */
    private static FrontendAddress healthCheckOf(ServiceObject service) {
        return new FrontendAddress(
                Protocol.TCP, IpAddress.v4(0), service.external().healthCheckPort());
    }

    private void check(ServiceKey key, @Nullable ServiceObject service, Set<Problem> found) {
        ServicePortName owner = service == null || service.external().healthCheckPort() == 0
                ? null
                : claims.ownerOf(healthCheckOf(service));
        if (service == null || owner == null || !ServiceProblems.isOwn(key, owner)) {
            healthChecksChanged |= healthChecks.remove(key.toString()) != null;
            if (owner != null && service != null) {
                found.add(faults.healthCheckPort(key, service.external().healthCheckPort(), owner));
            }
            return;
        }
        HealthCheck check = new HealthCheck(
                // Rather everywhere than nowhere.
                options.nodePortAddresses().isAll() ? List.of() : here.nodePortAddresses(),
                service.external().healthCheckPort(),
                EndpointRules.localReady(store.endpoints(key), here.place()));
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
        List<ServicePort> ports = new ArrayList<>();
        for (Port port : service.ports()) {
            ServicePortName name = nameOf(key, port.named());
            Map<FrontendAddress, Kind> owned = addresses(service, port);
            owned.entrySet().removeIf(entry -> {
                ServicePortName owner = claims.ownerOf(entry.getKey());
                if (owner != null && !name.equals(owner)) {
                    found.add(faults.conflict(key, entry.getKey(), entry.getValue(), owner));
                    lost.add(new AddressConflict(entry.getKey(), name, owner));
                }
                return !name.equals(owner);
            });
            if (!owned.isEmpty()) {
                ports.add(servicePort(service, port, owned, found));
            }
        }
        return ports;
    }

    private ServicePort servicePort(
            ServiceObject service, Port port, Map<FrontendAddress, Kind> owned, Set<Problem> found) {
        ServiceKey key = service.service();
        ServicePortName name = nameOf(key, port.named());
        Map<Endpoint, Backend> endpoints = EndpointRules.endpointsOf(port.named(), store.endpoints(key));
        Set<Endpoint> frontendsToo = leaveOut(name, endpoints.keySet(), found);
        Map<Family, Choice> choices = new EnumMap<>(Family.class);
        List<Frontend> frontends = new ArrayList<>(owned.size());
        owned.forEach((address, kind) -> {
            Choice choice = choices.computeIfAbsent(
                    address.address().family(),
                    family -> EndpointRules.choose(
                            EndpointRules.ofFamily(family, endpoints),
                            Policies.of(service, port, family),
                            here.place()));
            Frontend frontend = FrontendRules.frontend(service, kind, address, choice, frontendsToo, here);
            if (frontend.passesAny()) {
                found.add(faults.passed(key, frontend));
            }
            frontends.add(frontend);
        });
        return new ServicePort(
                name,
                service.affinity(),
                name.protocol() == Protocol.UDP ? EndpointRules.flowEndpoints(endpoints) : Set.of(),
                frontends);
    }

    /** Removes the endpoints to which nothing may be forwarded. Returns those left that are frontends. */
    private Set<Endpoint> leaveOut(ServicePortName name, Set<Endpoint> endpoints, Set<Problem> found) {
        ServiceKey key = new ServiceKey(name.namespace(), name.service());
        Set<Endpoint> frontendsToo = new HashSet<>();
        for (Link link : chains.of(key)) {
            if (!link.from().equals(name)) {
                continue;
            }
            Endpoint endpoint =
                    new Endpoint(link.endpoint().address(), link.endpoint().port());
            String why = chains.whyLeftOut(link);
            if (why == null) {
                frontendsToo.add(endpoint);
            } else {
                endpoints.remove(endpoint);
                found.add(faults.leftOut(key, link, why));
            }
        }
        return frontendsToo;
    }
}
