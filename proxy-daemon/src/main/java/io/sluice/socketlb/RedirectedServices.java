package io.sluice.socketlb;

import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.BiFunction;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The service ports whose connections are redirected: decides which frontends are in the maps, with which endpoints. Not
 * thread-safe, except for the methods that say so.
 */
final class RedirectedServices {
    private static final Logger log = LoggerFactory.getLogger(RedirectedServices.class);

    private final Redirects maps;
    /** Why connections to a frontend go through the forwarder; empty if they do not have to. */
    private final BiFunction<ServicePort, Frontend, String> obstacle;

    private final ForwarderView forwarder;
    /**
     * The service port of each frontend that is or was in the maps, as long as the service port has the frontend: its open
     * connections are counted even if it leaves the maps.
     */
    private final Map<FrontendAddress, Owner> owners = new ConcurrentHashMap<>();

    private long lastOwner;
    /** The frontends that the kernel rejected, with the reason. */
    private final Map<FrontendAddress, String> rejected = new ConcurrentHashMap<>();

    /** The service ports with frontends that are still in the maps, although they should not be. */
    private final Set<ServicePortName> notRemoved = new HashSet<>();

    private final Map<ServicePortName, Set<FrontendAddress>> frontends = new HashMap<>();
    /** The service ports of which some endpoints are not used. */
    private final Set<ServicePortName> incomplete = new HashSet<>();

    private ServiceSnapshot snapshot = ServiceSnapshot.empty();
    private volatile Set<IpAddress> nodeAddresses = Set.of();

    /**
     * The service port of a frontend.
     *
     * @param number differs if the frontend was removed and added again
     */
    record Owner(ServicePortName name, long number) {}

    RedirectedServices(Redirects maps, BiFunction<ServicePort, Frontend, String> obstacle, ForwarderView forwarder) {
        this.maps = maps;
        this.obstacle = obstacle;
        this.forwarder = forwarder;
    }

    /** Makes the maps, which may have the content of an earlier process, equal to a snapshot. */
    void begin(ServiceSnapshot first, Set<ServicePortName> all) throws BpfException {
        snapshot = first;
        nodeAddresses = forwarder.nodeAddresses();
        maps.adopt();
        Set<FrontendAddress> desired = new HashSet<>();
        all.forEach(name -> desired.addAll(desired(name).keySet()));
        for (FrontendAddress adopted : maps.frontends()) {
            if (!desired.contains(adopted)) {
                maps.remove(adopted);
            }
        }
        update(all);
    }

    /** Applies a snapshot in which these service ports differ from the last one. */
    void apply(ServiceSnapshot next, Set<ServicePortName> names) {
        snapshot = next;
        update(names);
    }

    /** Updates service ports whose endpoints in use or failed frontends may have changed. */
    void update(Collection<ServicePortName> names) {
        boolean wasComplete = rejected.isEmpty();
        Map<ServicePortName, Map<FrontendAddress, List<Endpoint>>> desired = new LinkedHashMap<>();
        names.forEach(name -> desired.put(name, desired(name)));
        // An address may move from one service port to another, so all removals come first.
        desired.forEach((name, wanted) -> {
            for (FrontendAddress frontend : frontends.getOrDefault(name, Set.of())) {
                if (!isOwner(name, frontend)) {
                    continue;
                }
                if (!wanted.containsKey(frontend)) {
                    remove(name, frontend);
                }
                if (!has(name, frontend) && !maps.contains(frontend)) {
                    owners.remove(frontend);
                }
            }
        });
        desired.forEach((name, wanted) -> {
            Set<FrontendAddress> own = new HashSet<>(wanted.keySet());
            frontends.getOrDefault(name, Set.of()).stream()
                    .filter(frontend -> isOwner(name, frontend))
                    .forEach(own::add);
            if (own.isEmpty()) {
                frontends.remove(name);
            } else {
                frontends.put(name, own);
            }
            wanted.forEach((frontend, endpoints) -> put(name, frontend, endpoints));
        });
        if (wasComplete != rejected.isEmpty()) {
            rejected.entrySet().stream()
                    .findFirst()
                    .ifPresentOrElse(
                            entry -> log.warn(
                                    "socket-level load balancing: {} goes through the forwarder: {}",
                                    entry.getKey(),
                                    entry.getValue()),
                            () -> log.info("socket-level load balancing: the maps have room for all frontends again"));
        }
    }

    private boolean isOwner(ServicePortName name, FrontendAddress frontend) {
        Owner owner = owners.get(frontend);
        return owner != null && owner.name.equals(name);
    }

    private boolean has(ServicePortName name, FrontendAddress frontend) {
        ServicePort port = snapshot.get(name);
        return port != null
                && port.frontends().stream().anyMatch(each -> each.address().equals(frontend));
    }

    private void put(ServicePortName name, FrontendAddress frontend, List<Endpoint> endpoints) {
        ServicePort port = Objects.requireNonNull(snapshot.get(name));
        try {
            if (!isOwner(name, frontend)) {
                owners.put(frontend, new Owner(name, ++lastOwner));
            }
            maps.put(frontend, endpoints, port.affinity().timeoutSeconds());
            rejected.remove(frontend);
        } catch (BpfException e) {
            rejected.put(frontend, String.valueOf(e.getMessage()));
        }
    }

    private void remove(ServicePortName name, FrontendAddress frontend) {
        try {
            rejected.remove(frontend);
            maps.remove(frontend);
        } catch (BpfException e) {
            if (notRemoved.add(name)) {
                log.error("socket-level load balancing: cannot remove {}: {}; retrying", frontend, e.getMessage());
            }
        }
    }

    private String obstacle(ServicePort port, Frontend frontend) {
        String why = obstacle.apply(port, frontend);
        return why.isEmpty() && nodeAddresses.contains(frontend.address().address()) ? "address of this node" : why;
    }

    /** The service ports with a frontend whose address this node has got or lost since the last call. */
    @SuppressWarnings("ReferenceEquality") // the same object until the addresses change
    Set<ServicePortName> withChangedAddresses() {
        Set<IpAddress> before = nodeAddresses;
        Set<IpAddress> now = forwarder.nodeAddresses();
        if (now == before) {
            return Set.of();
        }
        nodeAddresses = now;
        Set<ServicePortName> names = new HashSet<>();
        snapshot.forEach(port -> {
            for (Frontend frontend : port.frontends()) {
                IpAddress address = frontend.address().address();
                if (now.contains(address) != before.contains(address)) {
                    names.add(port.name());
                }
            }
        });
        return names;
    }

    /** The frontends of a service port whose connections are decided at the socket, with the endpoints in use. */
    private Map<FrontendAddress, List<Endpoint>> desired(ServicePortName name) {
        ServicePort port = snapshot.get(name);
        incomplete.remove(name);
        if (port == null) {
            return Map.of();
        }
        List<Frontend> eligible = port.frontends().stream()
                .filter(frontend -> obstacle(port, frontend).isEmpty())
                .toList();
        if (eligible.isEmpty()) {
            return Map.of();
        }
        Set<FrontendAddress> failed = forwarder.failed(port);
        Set<Endpoint> outOfUse = forwarder.outOfUse(name);
        Map<FrontendAddress, List<Endpoint>> desired = new LinkedHashMap<>();
        for (Frontend frontend : eligible) {
            List<Endpoint> endpoints = new ArrayList<>(frontend.node().endpoints());
            if (endpoints.removeAll(outOfUse)) {
                incomplete.add(name);
            }
            if (!endpoints.isEmpty() && !failed.contains(frontend.address())) {
                desired.put(frontend.address(), endpoints);
            }
        }
        return desired;
    }

    /** The service ports of which some endpoints are not used. */
    Set<ServicePortName> incomplete() {
        return Set.copyOf(incomplete);
    }

    /** The service ports of which the kernel has rejected a change, to try again. */
    Set<ServicePortName> toRetry() {
        Set<ServicePortName> names = new HashSet<>(notRemoved);
        notRemoved.clear();
        rejected.keySet().forEach(frontend -> names.add(Objects.requireNonNull(owners.get(frontend)).name));
        return names;
    }

    /** The service port of a frontend that is or was in the maps; null if there is none. Thread-safe. */
    @Nullable
    Owner owner(FrontendAddress frontend) {
        return owners.get(frontend);
    }

    /** The path of connections to a frontend. Thread-safe. */
    SocketPath path(ServicePort port, Frontend frontend) {
        String why = obstacle(port, frontend);
        if (why.isEmpty()) {
            why = rejected.getOrDefault(frontend.address(), "");
        }
        if (why.isEmpty() && !maps.contains(frontend.address())) {
            why = "no endpoint in use, or the frontend has failed";
        }
        return new SocketPath(why.isEmpty(), why);
    }

    /** The number of frontends in the maps. Thread-safe. */
    int size() {
        return maps.size();
    }

    /** The number of frontends that the kernel rejected. Thread-safe. */
    int rejections() {
        return rejected.size();
    }
}
