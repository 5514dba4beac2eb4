package io.sluice.kube;

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
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * Keeps a snapshot equal to the store, service by service: a change costs what it touches, however many services there
 * are. Settles which of several services gets an address. Confined to one thread.
 */
final class SnapshotBuilder {
    private final BuildOptions options;
    private final ObjectStore store;
    private final ProblemBoard problems;
    private final Map<ServiceKey, List<ServicePort>> wanted = new HashMap<>();
    private final Map<ServiceKey, List<ServicePortName>> built = new HashMap<>();
    /** Who wants an address, the owner first. One entry nearly always. */
    private final Map<FrontendAddress, TreeMap<Claim, ServicePortName>> claims = new HashMap<>();

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
    }

    /** Takes in what the store says was touched. An unchanged service port keeps its instance. */
    ServiceSnapshot build() {
        Set<ServiceKey> dirty = store.takeDirty();
        Set<ServiceKey> affected = new LinkedHashSet<>(dirty);
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
        List<ServicePort> before = wanted.remove(key);
        if (before == null) {
            return;
        }
        for (ServicePort port : before) {
            for (Frontend frontend : port.frontends()) {
                TreeMap<Claim, ServicePortName> claimants = claims.get(frontend.address());
                if (claimants != null) {
                    // The creation time may have changed since; the service is what identifies its claim.
                    claimants.keySet().removeIf(claim -> claim.service().equals(key));
                    claimants.keySet().forEach(claim -> affected.add(claim.service()));
                    if (claimants.isEmpty()) {
                        claims.remove(frontend.address());
                    }
                }
            }
        }
    }

    private void claim(ServiceKey key, Set<ServiceKey> affected) {
        ServiceObject service = store.service(key);
        if (service == null || service.clusterIps().isEmpty()) {
            return;
        }
        Claim claim = new Claim(service.createdSeconds(), key);
        List<ServicePort> ports = new ArrayList<>();
        for (NamedPort port : service.ports()) {
            ServicePort built = servicePort(service, port);
            ports.add(built);
            for (Frontend frontend : built.frontends()) {
                TreeMap<Claim, ServicePortName> claimants =
                        claims.computeIfAbsent(frontend.address(), address -> new TreeMap<>());
                claimants.putIfAbsent(claim, built.name());
                if (claimants.size() > 1) {
                    claimants.keySet().forEach(other -> affected.add(other.service()));
                }
            }
        }
        wanted.put(key, ports);
    }

    private ServicePort servicePort(ServiceObject service, NamedPort port) {
        ServiceKey key = service.service();
        Collection<EndpointsObject> objects = store.endpoints(key);
        Map<Endpoint, Backend> endpoints = EndpointRules.endpointsOf(port, objects);
        Route v4 = EndpointRules.route(endpoints, false);
        Route v6 = EndpointRules.route(endpoints, true);
        Set<FrontendAddress> addresses = new LinkedHashSet<>();
        for (IpAddress clusterIp : service.clusterIps()) {
            addresses.add(new FrontendAddress(port.protocol(), options.listenedOn(clusterIp), port.port()));
        }
        List<Frontend> frontends = new ArrayList<>();
        for (FrontendAddress address : addresses) {
            frontends.add(Frontend.of(address, address.address().v6() ? v6 : v4));
        }
        return new ServicePort(
                new ServicePortName(key.namespace(), key.name(), port.name(), port.protocol()),
                service.affinity(),
                port.protocol() == Protocol.UDP ? EndpointRules.flowEndpoints(endpoints) : Set.of(),
                frontends);
    }

    /** Puts into the snapshot what the service wants and owns, and reports what it wants in vain. */
    private void settle(ServiceKey key, List<ServicePort> put, List<ServicePortName> remove) {
        List<Problem> conflicts = new ArrayList<>();
        List<ServicePortName> names = new ArrayList<>();
        for (ServicePort port : wanted.getOrDefault(key, List.of())) {
            List<Frontend> owned = new ArrayList<>();
            for (Frontend frontend : port.frontends()) {
                Map.Entry<Claim, ServicePortName> owner =
                        claims.getOrDefault(frontend.address(), new TreeMap<>()).firstEntry();
                if (owner != null && owner.getValue().equals(port.name())) {
                    owned.add(frontend);
                } else if (owner != null) {
                    conflicts.add(conflict(key, frontend.address(), owner.getValue()));
                }
            }
            if (!owned.isEmpty()) {
                put.add(
                        owned.size() == port.frontends().size()
                                ? port
                                : new ServicePort(port.name(), port.affinity(), port.flowEndpoints(), owned));
                names.add(port.name());
            }
        }
        problems.put(key, conflicts);
        List<ServicePortName> before = names.isEmpty() ? built.remove(key) : built.put(key, names);
        if (before != null) {
            Set<ServicePortName> gone = new HashSet<>(before);
            names.forEach(gone::remove);
            remove.addAll(gone);
        }
    }

    private Problem conflict(ServiceKey key, FrontendAddress address, ServicePortName owner) {
        boolean own =
                owner.namespace().equals(key.namespace()) && owner.service().equals(key.name());
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
}
