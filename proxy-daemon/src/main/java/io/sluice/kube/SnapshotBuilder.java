package io.sluice.kube;

import io.sluice.kube.EndpointRules.Place;
import io.sluice.kube.EndpointRules.Policies;
import io.sluice.kube.EndpointsObject.Backend;
import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Keeps a snapshot equal to the store, service by service: a change costs what it touches, however many services there
 * are. Settles which of several services gets an address, and keeps traffic from going round in circles. Confined to
 * one thread.
 */
final class SnapshotBuilder {
    private final BuildOptions options;
    private final ObjectStore store;
    private final ProblemBoard problems;
    private final Map<ServiceKey, Set<FrontendAddress>> claimed = new HashMap<>();
    private final Map<ServiceKey, Set<FrontendAddress>> dialled = new HashMap<>();
    private final Map<ServiceKey, List<ServicePortName>> built = new HashMap<>();
    /** Who wants an address, the owner first. One entry nearly always. */
    private final Map<FrontendAddress, TreeMap<Claim, ServicePortName>> claims = new HashMap<>();
    /** Whose endpoint an address is. One service nearly always, so a set is made to grow only for the second. */
    private final Map<FrontendAddress, Set<ServiceKey>> dialledBy = new HashMap<>();

    private Place here;
    private ServiceSnapshot snapshot = ServiceSnapshot.empty();

    /** A service's wish for an address. The older service goes first, then the first by name. */
    private record Claim(long createdSeconds, ServiceKey service) implements Comparable<Claim> {
        @Override
        public int compareTo(Claim other) {
            int byAge = Long.compare(createdSeconds, other.createdSeconds);
            return byAge != 0 ? byAge : service.compareTo(other.service);
        }
    }

    SnapshotBuilder(BuildOptions options, ObjectStore store, ProblemBoard problems) {
        this.options = options;
        this.store = store;
        this.problems = problems;
        here = new Place(options.nodeName(), "");
    }

    /** Takes in what the store says was touched. An unchanged service port keeps its instance. */
    ServiceSnapshot build() {
        Set<ServiceKey> dirty = store.takeDirty();
        Set<ServiceKey> affected = new LinkedHashSet<>(dirty);
        Place place = new Place(options.nodeName(), store.zoneOf(options.nodeName()));
        if (!place.equals(here)) {
            // Seldom enough for all services; those whose endpoints stay the same keep their instance.
            here = place;
            affected.addAll(store.services());
        }
        for (ServiceKey key : dirty) {
            withdraw(key, affected);
            claim(key, affected);
        }
        List<ServicePort> put = new ArrayList<>();
        List<ServicePortName> remove = new ArrayList<>();
        for (ServiceKey key : affected) {
            settle(key, put, remove);
        }
        snapshot = snapshot.with(put, remove);
        return snapshot;
    }

    private void withdraw(ServiceKey key, Set<ServiceKey> affected) {
        Set<FrontendAddress> before = claimed.remove(key);
        if (before == null) {
            return;
        }
        for (FrontendAddress address : before) {
            TreeMap<Claim, ServicePortName> claimants = claims.get(address);
            if (claimants != null) {
                // The creation time may have changed since; the service is what identifies its claim.
                claimants.keySet().removeIf(claim -> claim.service().equals(key));
                claimants.keySet().forEach(claim -> affected.add(claim.service()));
                if (claimants.isEmpty()) {
                    claims.remove(address);
                }
            }
            affected.addAll(dialledBy.getOrDefault(address, Set.of()));
        }
    }

    private void claim(ServiceKey key, Set<ServiceKey> affected) {
        ServiceObject service = store.service(key);
        if (service == null || service.clusterIps().isEmpty()) {
            return;
        }
        Claim claim = new Claim(service.createdSeconds(), key);
        Set<FrontendAddress> addresses = new HashSet<>();
        for (NamedPort port : service.ports()) {
            for (FrontendAddress address : addresses(service, port)) {
                addresses.add(address);
                TreeMap<Claim, ServicePortName> claimants = claims.computeIfAbsent(address, a -> new TreeMap<>());
                claimants.putIfAbsent(claim, nameOf(key, port));
                if (claimants.size() > 1) {
                    claimants.keySet().forEach(other -> affected.add(other.service()));
                }
                affected.addAll(dialledBy.getOrDefault(address, Set.of()));
            }
        }
        claimed.put(key, addresses);
    }

    private Set<FrontendAddress> addresses(ServiceObject service, NamedPort port) {
        Set<FrontendAddress> addresses = new LinkedHashSet<>();
        for (IpAddress clusterIp : service.clusterIps()) {
            addresses.add(new FrontendAddress(port.protocol(), options.listenedOn(clusterIp), port.port()));
        }
        return addresses;
    }

    private static ServicePortName nameOf(ServiceKey key, NamedPort port) {
        return new ServicePortName(key.namespace(), key.name(), port.name(), port.protocol());
    }

    /** Puts into the snapshot what the service wants and owns, and reports what it wants in vain. */
    private void settle(ServiceKey key, List<ServicePort> put, List<ServicePortName> remove) {
        List<Problem> found = new ArrayList<>();
        Set<FrontendAddress> dials = new HashSet<>();
        ServiceObject service = store.service(key);
        List<ServicePort> ports = service == null ? List.of() : ownedPorts(service, dials, found);
        put.addAll(ports);
        index(key, dials);
        problems.put(key, found);
        List<ServicePortName> names = ports.stream().map(ServicePort::name).toList();
        List<ServicePortName> before = names.isEmpty() ? built.remove(key) : built.put(key, names);
        if (before != null) {
            Set<ServicePortName> gone = new HashSet<>(before);
            names.forEach(gone::remove);
            remove.addAll(gone);
        }
    }

    private List<ServicePort> ownedPorts(ServiceObject service, Set<FrontendAddress> dials, List<Problem> found) {
        ServiceKey key = service.service();
        List<ServicePort> ports = new ArrayList<>();
        for (NamedPort port : service.ports()) {
            ServicePortName name = nameOf(key, port);
            List<FrontendAddress> owned = new ArrayList<>();
            for (FrontendAddress address : addresses(service, port)) {
                ServicePortName owner = ownerOf(address);
                if (name.equals(owner)) {
                    owned.add(address);
                } else if (owner != null) {
                    found.add(conflict(key, address, owner));
                }
            }
            if (!owned.isEmpty()) {
                ports.add(servicePort(service, port, owned, dials, found));
            }
        }
        return ports;
    }

    private @Nullable ServicePortName ownerOf(FrontendAddress address) {
        TreeMap<Claim, ServicePortName> claimants = claims.get(address);
        return claimants == null ? null : claimants.firstEntry().getValue();
    }

    private ServicePort servicePort(
            ServiceObject service,
            NamedPort port,
            List<FrontendAddress> owned,
            Set<FrontendAddress> dials,
            List<Problem> found) {
        Map<Endpoint, Backend> endpoints = EndpointRules.endpointsOf(port, store.endpoints(service.service()));
        endpoints.keySet().removeIf(endpoint -> {
            FrontendAddress address = new FrontendAddress(port.protocol(), endpoint.address(), endpoint.port());
            dials.add(address);
            ServicePortName owner = ownerOf(address);
            if (owner != null) {
                found.add(circle(service.service(), address, owner));
            }
            return owner != null;
        });
        Policies policies = new Policies(service.internalLocal(), service.externalLocal(), false);
        Route v4 = EndpointRules.choose(EndpointRules.ofFamily(false, endpoints), policies, here)
                .route(service.internalLocal());
        Route v6 = EndpointRules.choose(EndpointRules.ofFamily(true, endpoints), policies, here)
                .route(service.internalLocal());
        return new ServicePort(
                nameOf(service.service(), port),
                service.affinity(),
                port.protocol() == Protocol.UDP ? EndpointRules.flowEndpoints(endpoints) : Set.of(),
                owned.stream()
                        .map(address -> Frontend.of(address, address.address().v6() ? v6 : v4))
                        .toList());
    }

    /** Remembers whom the service forwards to, so that it is looked at again when one of them becomes a frontend. */
    private void index(ServiceKey key, Set<FrontendAddress> dials) {
        Set<FrontendAddress> before = dials.isEmpty() ? dialled.remove(key) : dialled.put(key, dials);
        if (before != null) {
            for (FrontendAddress address : before) {
                if (!dials.contains(address)) {
                    dialledBy.computeIfPresent(address, (a, keys) -> without(keys, key));
                }
            }
        }
        for (FrontendAddress address : dials) {
            dialledBy.merge(address, Set.of(key), SnapshotBuilder::with);
        }
    }

    private static Set<ServiceKey> with(Set<ServiceKey> keys, Set<ServiceKey> one) {
        if (keys.containsAll(one)) {
            return keys;
        }
        Set<ServiceKey> all = keys instanceof HashSet ? keys : new HashSet<>(keys);
        all.addAll(one);
        return all;
    }

    private static @Nullable Set<ServiceKey> without(Set<ServiceKey> keys, ServiceKey key) {
        if (keys instanceof HashSet) {
            keys.remove(key);
            return keys.isEmpty() ? null : keys;
        }
        return keys.contains(key) ? null : keys;
    }

    private static boolean isOwn(ServiceKey key, ServicePortName name) {
        return name.namespace().equals(key.namespace()) && name.service().equals(key.name());
    }

    private Problem conflict(ServiceKey key, FrontendAddress address, ServicePortName owner) {
        boolean own = isOwn(key, owner);
        String message = own
                ? address + " is taken by this Service's port \"" + owner.port() + "\""
                : address + " belongs to Service " + owner.serviceName() + ", which is older or comes first by name";
        return new Problem(
                Problem.Severity.ERROR,
                store.sourceOf(key),
                "Service " + key,
                own ? "spec.ports" : "spec.clusterIPs",
                message);
    }

    private Problem circle(ServiceKey key, FrontendAddress address, ServicePortName owner) {
        String whose = isOwn(key, owner) ? "this Service itself" : "Service " + owner.serviceName();
        return new Problem(
                Problem.Severity.ERROR,
                store.sourceOf(key),
                "Service " + key,
                "",
                "endpoint " + address + " is left out: it is an address of " + whose
                        + " and served here, so traffic would go round in a circle");
    }
}
