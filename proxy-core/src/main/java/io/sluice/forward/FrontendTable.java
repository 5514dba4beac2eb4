package io.sluice.forward;

import io.netty.util.concurrent.Future;
import io.sluice.balance.AffinityTable;
import io.sluice.balance.BalancePosition;
import io.sluice.balance.EndpointChange;
import io.sluice.balance.EndpointStatus;
import io.sluice.balance.FrontendRouting;
import io.sluice.balance.ServiceState;
import io.sluice.forward.FrontendRoutes.FailedListener;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Origin;
import io.sluice.model.Origins;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SnapshotDiff;
import io.sluice.socket.Descriptors;
import io.sluice.stats.Stats;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * All frontends. Applies snapshots: decides which frontends open and close, and publishes their routes to the loops.
 * Methods are called under the forwarder's lock unless stated otherwise.
 */
final class FrontendTable {
    private static final Logger log = LoggerFactory.getLogger(FrontendTable.class);

    private final ForwarderConfig config;
    private final Stats stats;
    private final List<Loop> loops;
    final FrontendStates states;
    final AffinityTable affinityTable = new AffinityTable();
    /** Changed under the forwarder's lock; read by any thread. */
    final Map<ServicePortName, ServiceState> services = new ConcurrentHashMap<>();

    final Map<FrontendAddress, BoundFrontend> frontends = new ConcurrentHashMap<>();
    /** Listeners that failed; added by the loops and handled by the housekeeper thread. */
    private final Queue<FailedListener> failedListeners = new ConcurrentLinkedQueue<>();

    /** Frontends that are open only for their existing flows. */
    private final Set<BoundFrontend> draining = new LinkedHashSet<>();

    /** Sockets of the old process, until the first snapshot is applied. */
    final Map<FrontendAddress, ForwarderHandover.Sockets> inherited = new HashMap<>();

    /** Endpoints that an operator has taken out of use. */
    final TakenOutEndpoints takenOut = new TakenOutEndpoints();

    /** Load balancing state of the old process, until the first snapshot is applied. */
    final Map<ServicePortName, BalancePosition> positions = new HashMap<>();

    private ServiceSnapshot current = ServiceSnapshot.empty();

    /** Origins of clients; read by the loops if the route of a new connection or flow depends on the origin. */
    private volatile Origins origins = Origins.UNKNOWN;

    private boolean accepting = true;
    private boolean sharingLogged;
    private int nextLoop;

    private final Consumer<EndpointChange> onEndpointChange;
    private final Consumer<ServicePortName> onReroute;
    private final PolicyChanges policyChanges;
    final HealthChecker healthChecker;

    FrontendTable(
            ForwarderConfig config,
            Stats stats,
            List<Loop> loops,
            FrontendStates states,
            ForwarderCallbacks callbacks) {
        this.config = config;
        this.onEndpointChange = callbacks.onEndpoint();
        this.onReroute = callbacks.onReroute();
        this.stats = stats;
        this.loops = loops;
        this.policyChanges = new PolicyChanges(loops);
        this.states = states;
        healthChecker = new HealthChecker(loops, config);
    }

    /** See {@link Forwarder#apply}. */
    void apply(ServiceSnapshot snapshot) {
        SnapshotDiff diff = SnapshotDiff.between(current, snapshot);
        current = snapshot;
        origins = snapshot.context().origins();
        states.setConflicts(snapshot.context().conflicts());
        Map<FrontendAddress, BoundFrontend> toClose = toClose(diff);
        List<BoundFrontend> kept = new ArrayList<>();
        for (ServicePort added : diff.added()) {
            ServiceState service = new ServiceState(stats.open(added.name()), affinityTable, onEndpointChange);
            services.put(added.name(), service);
            route(service, added, toClose, kept);
            BalancePosition before = positions.remove(added.name());
            if (before != null) {
                service.resume(before, config.nanoClock().getAsLong());
            }
        }
        for (SnapshotDiff.Change change : diff.changed()) {
            ServiceState service =
                    Objects.requireNonNull(services.get(change.after().name()));
            route(service, change.after(), toClose, kept);
            policyChanges.changed(service, change.before(), change.after());
        }
        List<Future<?>> closing = new ArrayList<>();
        for (BoundFrontend frontend : toClose.values()) {
            frontends.remove(frontend.address);
            draining.remove(frontend);
            frontend.routes.routing = frontend.routes.routing.rejectingNew();
            closing.addAll(frontend.close());
            states.removed(frontend);
        }
        policyChanges.apply();
        for (BoundFrontend frontend : kept) {
            if (frontend.isOpen() && !frontend.wantsOpen()) {
                closing.addAll(frontend.close());
            }
        }
        // An address that moves from one service to another must be closed before it is opened again.
        closing.forEach(Future::awaitUninterruptibly);
        reconcile(kept);
        kept.stream().filter(BoundFrontend::isDraining).forEach(draining::add);
        closeInherited();
        positions.clear();
    }

    private Origin originOf(IpAddress client) {
        Origin origin = origins.of(client);
        TransparentSockets transparentSockets = config.transparentSockets();
        return origin == Origin.EXTERNAL
                        && transparentSockets != null
                        && transparentSockets.isOwn().test(client)
                ? Origin.NODE
                : origin;
    }

    /** Frontends of removed and changed service ports; {@link #route} removes the ones that are still needed. */
    private Map<FrontendAddress, BoundFrontend> toClose(SnapshotDiff diff) {
        Map<FrontendAddress, BoundFrontend> toClose = new HashMap<>();
        for (ServicePort removed : diff.removed()) {
            ServiceState service = services.remove(removed.name());
            if (service != null) {
                service.removed();
                stats.close(service.stats);
                policyChanges.removed(service, removed);
            }
            healthChecker.remove(removed.name());
            collect(removed, toClose);
        }
        for (SnapshotDiff.Change change : diff.changed()) {
            collect(change.before(), toClose);
        }
        return toClose;
    }

    private void collect(ServicePort servicePort, Map<FrontendAddress, BoundFrontend> into) {
        for (Frontend frontend : servicePort.frontends()) {
            BoundFrontend bound = frontends.get(frontend.address());
            if (bound != null) {
                into.put(frontend.address(), bound);
            }
        }
    }

    private void route(
            ServiceState service,
            ServicePort servicePort,
            Map<FrontendAddress, BoundFrontend> toClose,
            List<BoundFrontend> kept) {
        // In bind mode, a connection to an endpoint at the frontend's own address would reach Sluice's listener again.
        ServicePort served =
                config.transparentSockets() == null ? servicePort.withoutForwardingToItself() : servicePort;
        long now = config.nanoClock().getAsLong();
        List<FrontendRouting> routings = service.update(served, this::originOf, takenOut.of(served.name()), now);
        healthChecker.update(served, service);
        for (FrontendRouting routing : routings) {
            FrontendAddress address = routing.frontend().address();
            BoundFrontend bound = toClose.remove(address);
            if (bound == null) {
                bound = new BoundFrontend(new FrontendRoutes(address, routing, failedListeners::add));
                bound.inherit(inherited.remove(address));
                frontends.put(address, bound);
                states.add(bound);
            }
            bound.routes.routing = accepting ? routing : routing.rejectingNew();
            kept.add(bound);
        }
    }

    /** Service ports of a Service, given as {@code namespace/name}. */
    List<ServicePort> servicePorts(String service) {
        return current.ofService(service);
    }

    /** Publishes new routes of a service port after {@link #takenOut} has changed. */
    void reroute(ServicePort servicePort) {
        ServiceState service = services.get(servicePort.name());
        if (service != null) {
            Map<FrontendAddress, BoundFrontend> own = new HashMap<>();
            collect(servicePort, own);
            route(service, servicePort, own, new ArrayList<>());
            onReroute.accept(servicePort.name());
        }
    }

    /** Health of the endpoints of a service port; empty if there is no such service port. Thread-safe. */
    List<EndpointStatus> endpoints(ServicePortName name) {
        ServiceState service = services.get(name);
        return service == null ? List.of() : service.endpoints();
    }

    private void fail(BoundFrontend frontend, Throwable cause) {
        frontend.close().forEach(Future::awaitUninterruptibly);
        states.failed(frontend, cause, config.nanoClock().getAsLong());
    }

    /** Opens the candidates that should be open but are not, and records the state of each candidate. */
    void reconcile(Collection<BoundFrontend> candidates) {
        List<BoundFrontend> opened = new ArrayList<>();
        Set<FrontendAddress> singleAddressPorts = singleAddressPorts(candidates);
        for (BoundFrontend frontend : candidates) {
            if (accepting && !frontend.isOpen() && frontend.wantsOpen()) {
                try {
                    frontend.open(loopsForFrontend(), sharesPort(frontend.address, singleAddressPorts));
                    opened.add(frontend);
                } catch (IOException | RuntimeException | Error e) {
                    fail(frontend, e);
                }
                continue;
            }
            if (!frontend.isOpen()) {
                frontend.close();
            }
            states.active(frontend);
        }
        for (BoundFrontend frontend : opened) {
            Throwable failure = frontend.startFailure();
            if (failure == null) {
                states.active(frontend);
            } else {
                fail(frontend, failure);
            }
        }
    }

    /** See {@link Forwarder#rejected}. */
    void rejected(Map<FrontendAddress, String> reasons) {
        for (FrontendAddress address : states.reject(reasons)) {
            BoundFrontend frontend = frontends.get(address);
            if (frontend != null) {
                states.reconsider(frontend);
            }
        }
    }

    /** Whether frontends use the port both on all addresses and on a single address. */
    private boolean sharesPort(FrontendAddress address, Set<FrontendAddress> singleAddressPorts) {
        return address.address().isUnspecified()
                ? singleAddressPorts.contains(address)
                : frontends.containsKey(address.onAllAddresses());
    }

    /** Ports of frontends on single addresses; empty if no frontend on all addresses is about to open. */
    private Set<FrontendAddress> singleAddressPorts(Collection<BoundFrontend> opening) {
        if (opening.stream().noneMatch(frontend -> frontend.address.address().isUnspecified())) {
            return Set.of();
        }
        return frontends.keySet().stream()
                .filter(address -> !address.address().isUnspecified())
                .map(FrontendAddress::onAllAddresses)
                .collect(Collectors.toSet());
    }

    /**
     * The loops on which to open a frontend: all loops, or only one if opening all frontends on all loops would use
     * more than a quarter of the descriptors.
     */
    private List<Loop> loopsForFrontend() {
        if ((long) frontends.size() * loops.size() <= Descriptors.LIMIT / 4) {
            return loops;
        }
        if (!sharingLogged && loops.size() > 1) {
            sharingLogged = true;
            log.info(
                    "{} frontends on {} event loops would use over a quarter of the {} file descriptors; opening only"
                            + " one socket for each further frontend (ulimit -n)",
                    frontends.size(),
                    loops.size(),
                    Descriptors.LIMIT);
        }
        return List.of(loops.get(nextLoop++ % loops.size()));
    }

    /** Handles failed listeners, retries failed frontends when due, and closes draining frontends without flows. */
    void runHousekeeping() {
        handleFailedListeners();
        reconcile(states.retryDue(config.nanoClock().getAsLong()));
        closeDrained();
    }

    private void handleFailedListeners() {
        for (FailedListener next = failedListeners.poll(); next != null; next = failedListeners.poll()) {
            BoundFrontend frontend = frontends.get(next.address());
            if (frontend != null && frontend.has(next.listener())) {
                fail(frontend, next.cause());
            }
        }
    }

    /** Closes draining frontends whose last flow has ended. */
    private void closeDrained() {
        for (BoundFrontend frontend : List.copyOf(draining)) {
            if (!frontend.isDraining()) {
                draining.remove(frontend);
                if (frontend.isOpen() && !frontend.wantsOpen()) {
                    frontend.close().forEach(Future::awaitUninterruptibly);
                    reconcile(List.of(frontend));
                }
            }
        }
    }

    /** Records which frontends are open only for their existing flows. */
    void noteDraining() {
        frontends.values().stream().filter(BoundFrontend::isDraining).forEach(draining::add);
    }

    /** See {@link Forwarder#stopAccepting}. */
    void stopAccepting() {
        stopOpening();
        policyChanges.endHolds();
        List<Future<?>> closing = new ArrayList<>();
        for (BoundFrontend frontend : frontends.values()) {
            frontend.routes.routing = frontend.routes.routing.rejectingNew();
            closing.addAll(frontend.stopAccepting());
            states.draining(frontend);
        }
        closing.forEach(Future::awaitUninterruptibly);
    }

    /** Whether frontends are opened and accept new connections. */
    boolean isAccepting() {
        return accepting;
    }

    /** Stops opening and retrying frontends; open frontends stay open. */
    void stopOpening() {
        accepting = false;
        states.stopRetrying();
        healthChecker.close();
        for (BoundFrontend frontend : frontends.values()) {
            frontend.routes.routing = frontend.routes.routing.withoutHold();
        }
    }

    void close() {
        stopOpening();
        policyChanges.endHolds();
        List<Future<?>> closing = new ArrayList<>();
        frontends.values().forEach(frontend -> closing.addAll(frontend.close()));
        closing.forEach(Future::awaitUninterruptibly);
        frontends.values().forEach(states::forget);
        frontends.clear();
        closeInherited();
    }

    private void closeInherited() {
        inherited.values().forEach(ForwarderHandover::close);
        inherited.clear();
    }
}
