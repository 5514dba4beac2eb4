package io.sluice.forward;

import io.netty.util.concurrent.Future;
import io.sluice.balance.AffinityTable;
import io.sluice.balance.BalancePosition;
import io.sluice.balance.FrontendRouting;
import io.sluice.balance.ServiceState;
import io.sluice.forward.FrontendRoutes.BrokenListener;
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
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The frontends there are, and what must be done so that they match a snapshot: which open, which close, which routes the
 * loops use. Control side, under the forwarder's lock, unless a method says otherwise.
 */
final class FrontendTable {
    private static final Logger log = LoggerFactory.getLogger(FrontendTable.class);

    private final ForwarderConfig config;
    private final Stats stats;
    private final List<Loop> loops;
    final FrontendStates states;
    final AffinityTable affinityTable = new AffinityTable();
    final Map<ServicePortName, ServiceState> services = new HashMap<>();
    final Map<FrontendAddress, BoundFrontend> frontends = new ConcurrentHashMap<>();
    /** Added by the loops. */
    private final Queue<BrokenListener> broken = new ConcurrentLinkedQueue<>();

    /** Open only for the flows that they have. */
    private final Set<BoundFrontend> lingering = new LinkedHashSet<>();

    /** Sockets of a predecessor, until the first snapshot. */
    final Map<FrontendAddress, ForwarderHandover.Sockets> inherited = new HashMap<>();

    final Map<ServicePortName, BalancePosition> positions = new HashMap<>();

    private ServiceSnapshot current = ServiceSnapshot.empty();

    /** Read by the loops, once per connection or flow whose route depends on it. */
    private volatile Origins origins = Origins.UNKNOWN;

    private boolean accepting = true;
    private boolean sharingSaid;
    private int nextLoop;

    FrontendTable(ForwarderConfig config, Stats stats, List<Loop> loops, FrontendStates states) {
        this.config = config;
        this.stats = stats;
        this.loops = loops;
        this.states = states;
    }

    /** See {@link Forwarder#apply}. */
    void apply(ServiceSnapshot snapshot) {
        SnapshotDiff diff = SnapshotDiff.between(current, snapshot);
        current = snapshot;
        origins = snapshot.context().origins();
        states.lose(snapshot.context().conflicts());
        Map<FrontendAddress, BoundFrontend> leaving = leaving(diff);
        List<BoundFrontend> staying = new ArrayList<>();
        for (ServicePort added : diff.added()) {
            ServiceState service = new ServiceState(stats.open(added.name()), affinityTable);
            services.put(added.name(), service);
            route(service, added, leaving, staying);
            BalancePosition before = positions.remove(added.name());
            if (before != null) {
                service.resume(before, config.nanoClock().getAsLong());
            }
        }
        for (SnapshotDiff.Change change : diff.changed()) {
            ServiceState service =
                    Objects.requireNonNull(services.get(change.after().name()));
            route(service, change.after(), leaving, staying);
        }
        List<Future<?>> closing = new ArrayList<>();
        for (BoundFrontend frontend : leaving.values()) {
            frontends.remove(frontend.address);
            lingering.remove(frontend);
            closing.addAll(frontend.close());
            states.gone(frontend);
        }
        for (BoundFrontend frontend : staying) {
            if (frontend.isOpen() && !frontend.wantsOpen()) {
                closing.addAll(frontend.close());
            }
        }
        // An address that moves from one service to another must be free before it is opened again.
        closing.forEach(Future::awaitUninterruptibly);
        settle(staying);
        staying.stream().filter(BoundFrontend::lingers).forEach(lingering::add);
        closeInherited();
        positions.clear();
    }

    private Origin originOf(IpAddress client) {
        Origin origin = origins.of(client);
        TransparentSockets transparency = config.transparency();
        return origin == Origin.EXTERNAL
                        && transparency != null
                        && transparency.isOwn().test(client)
                ? Origin.NODE
                : origin;
    }

    /** Addresses that some service port of the old snapshot had and may not have any more. */
    private Map<FrontendAddress, BoundFrontend> leaving(SnapshotDiff diff) {
        Map<FrontendAddress, BoundFrontend> leaving = new HashMap<>();
        for (ServicePort removed : diff.removed()) {
            ServiceState service = services.remove(removed.name());
            if (service != null) {
                stats.close(service.stats);
            }
            collect(removed, leaving);
        }
        for (SnapshotDiff.Change change : diff.changed()) {
            collect(change.before(), leaving);
        }
        return leaving;
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
            Map<FrontendAddress, BoundFrontend> leaving,
            List<BoundFrontend> staying) {
        // Without rules, what is sent to a frontend's own address would arrive at its listener again.
        ServicePort served = config.transparency() == null ? servicePort.withoutForwardingToItself() : servicePort;
        for (FrontendRouting routing : service.update(served, this::originOf)) {
            FrontendAddress address = routing.frontend().address();
            BoundFrontend bound = leaving.remove(address);
            if (bound == null) {
                bound = new BoundFrontend(new FrontendRoutes(address, routing, broken::add));
                bound.inherit(inherited.remove(address));
                frontends.put(address, bound);
                states.add(bound);
            }
            bound.routes.routing = accepting ? routing : routing.rejectingNew();
            staying.add(bound);
        }
    }

    private void fail(BoundFrontend frontend, Throwable cause) {
        frontend.close().forEach(Future::awaitUninterruptibly);
        states.failed(frontend, cause, config.nanoClock().getAsLong());
    }

    /** Opens frontends that should be open, and records the state of each. */
    void settle(Collection<BoundFrontend> unsettled) {
        List<BoundFrontend> opened = new ArrayList<>();
        Set<FrontendAddress> portsOfSingles = portsOfSingles(unsettled);
        for (BoundFrontend frontend : unsettled) {
            if (accepting && !frontend.isOpen() && frontend.wantsOpen()) {
                try {
                    frontend.open(loopsForOne(), sharesPort(frontend.address, portsOfSingles));
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

    /** Whether a frontend at all addresses and one at a single address have the same port. */
    private boolean sharesPort(FrontendAddress address, Set<FrontendAddress> portsOfSingles) {
        return address.address().isUnspecified()
                ? portsOfSingles.contains(address)
                : frontends.containsKey(address.onAllAddresses());
    }

    /** The ports of frontends at single addresses, as of frontends at all; looked for only if one of those is to be opened. */
    private Set<FrontendAddress> portsOfSingles(Collection<BoundFrontend> opening) {
        if (opening.stream().noneMatch(frontend -> frontend.address.address().isUnspecified())) {
            return Set.of();
        }
        return frontends.keySet().stream()
                .filter(address -> !address.address().isUnspecified())
                .map(FrontendAddress::onAllAddresses)
                .collect(Collectors.toSet());
    }

    /** One socket per loop while there are descriptors for that, else one in all, on each loop in turn. */
    private List<Loop> loopsForOne() {
        if ((long) frontends.size() * loops.size() <= Descriptors.LIMIT / 4) {
            return loops;
        }
        if (!sharingSaid && loops.size() > 1) {
            sharingSaid = true;
            log.info(
                    "{} frontends on {} loops would take more than a quarter of {} descriptors: one socket each from now on",
                    frontends.size(),
                    loops.size(),
                    Descriptors.LIMIT);
        }
        return List.of(loops.get(nextLoop++ % loops.size()));
    }

    /** What happened since the last time: broken listeners, retries that are due, flows that were the last ones. */
    void keepHouse() {
        closeBroken();
        settle(states.retryDue(config.nanoClock().getAsLong()));
        closeUnused();
    }

    private void closeBroken() {
        for (BrokenListener next = broken.poll(); next != null; next = broken.poll()) {
            BoundFrontend frontend = frontends.get(next.address());
            if (frontend != null && frontend.has(next.listener())) {
                fail(frontend, next.cause());
            }
        }
    }

    /** A frontend that stayed open for its flows closes after the last of them. */
    private void closeUnused() {
        for (BoundFrontend frontend : List.copyOf(lingering)) {
            if (!frontend.lingers()) {
                lingering.remove(frontend);
                if (frontend.isOpen() && !frontend.wantsOpen()) {
                    frontend.close().forEach(Future::awaitUninterruptibly);
                    settle(List.of(frontend));
                }
            }
        }
    }

    /** Notes which frontends are open only for their flows. */
    void noteLingering() {
        frontends.values().stream().filter(BoundFrontend::lingers).forEach(lingering::add);
    }

    /** Any thread. */
    List<FrontendStatus> statuses() {
        return Stream.concat(frontends.values().stream().map(frontend -> frontend.status), states.lost().stream())
                .sorted(Comparator.comparing((FrontendStatus s) -> s.address().address())
                        .thenComparing(s -> s.address().port())
                        .thenComparing(s -> s.address().protocol()))
                .toList();
    }

    /** See {@link Forwarder#stopAccepting}. */
    void stopAccepting() {
        refuse();
        List<Future<?>> closing = new ArrayList<>();
        for (BoundFrontend frontend : frontends.values()) {
            frontend.routes.routing = frontend.routes.routing.rejectingNew();
            closing.addAll(frontend.stopAccepting());
        }
        closing.forEach(Future::awaitUninterruptibly);
    }

    /** Opens nothing from now on. */
    void refuse() {
        accepting = false;
        states.stopRetrying();
    }

    void close() {
        accepting = false;
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
