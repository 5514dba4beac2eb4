package io.sluice.forward;

import io.netty.channel.IoEventLoop;
import io.netty.channel.IoHandlerFactory;
import io.netty.channel.epoll.Epoll;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.util.concurrent.EventExecutor;
import io.netty.util.concurrent.Future;
import io.netty.util.internal.PlatformDependent;
import io.sluice.balance.AffinityTable;
import io.sluice.balance.Balance;
import io.sluice.balance.Routing;
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
import io.sluice.socket.Sysctl;
import io.sluice.stats.Stats;
import io.sluice.thread.EventLoops;
import io.sluice.thread.Supervisor;
import io.sluice.thread.Worker;
import java.io.IOException;
import java.time.Duration;
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
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Makes this machine's sockets match a {@link ServiceSnapshot} and forwards what arrives on them.
 *
 * <p>This is the control side: it opens and closes listeners and publishes a {@link Routing} to each. What happens to a
 * connection or a datagram from then on is the loops' affair.
 */
public final class Forwarder implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(Forwarder.class);

    private static final Duration HOUSEKEEPING = Duration.ofMillis(250);
    private static final long DRAIN_POLL_MILLIS = 10;
    private static final Duration QUIET = Duration.ofMillis(1);
    private static final Duration SHUTDOWN = Duration.ofSeconds(5);

    private final ForwarderConfig config;
    private final FrontendStates states;
    private final Stats stats;
    private final AffinityTable affinityTable = new AffinityTable();
    private final Shortage shortage;
    private final ClientShares clients;
    private final HeldBytes held;
    private final Flows flows;
    private final EventLoops eventLoops;
    private final List<Loop> loops = new ArrayList<>();
    private final Worker housekeeper;

    private final Map<ServicePortName, ServiceState> services = new HashMap<>();
    private final Map<FrontendAddress, BoundFrontend> frontends = new ConcurrentHashMap<>();
    /** Added by the loops. */
    private final Queue<BrokenListener> broken = new ConcurrentLinkedQueue<>();

    /** Open only for the flows that they have. */
    private final Set<BoundFrontend> lingering = new LinkedHashSet<>();

    /** Of a predecessor, until the first snapshot. */
    private final Map<FrontendAddress, HandOver.Sockets> inherited = new HashMap<>();

    private final Map<ServicePortName, Balance> balances = new HashMap<>();

    private ServiceSnapshot current = ServiceSnapshot.empty();

    /** Read by the loops, once per connection or flow whose route depends on it. */
    private volatile Origins origins = Origins.UNKNOWN;

    private boolean accepting = true;
    /** Whether it is open which process serves, so that no socket may be opened or closed. */
    private boolean released;

    private boolean closed;
    private boolean sharingSaid;
    private int nextLoop;

    /**
     * Starts the event loops.
     *
     * @param onChange told of every frontend that enters a state; called on the thread that caused it, must not block
     * @throws IllegalStateException where epoll cannot be used, saying why
     */
    public Forwarder(ForwarderConfig config, Consumer<FrontendStatus> onChange) {
        this(config, onChange, new Supervisor());
    }

    /**
     * As above.
     *
     * @param supervisor knows of the threads
     */
    public Forwarder(ForwarderConfig config, Consumer<FrontendStatus> onChange, Supervisor supervisor) {
        if (!Epoll.isAvailable()) {
            throw new IllegalStateException(withoutEpoll(Epoll.unavailabilityCause()), Epoll.unavailabilityCause());
        }
        this.config = config;
        this.states = new FrontendStates(onChange);
        this.stats = new Stats(config.loops());
        this.shortage = new Shortage(config.nanoClock());
        this.eventLoops = EventLoops.start(supervisor, "sluice-loop", config.loops(), ioHandlers(config.busyPoll()));
        flows = new Flows(config.maxFlows() > 0 ? config.maxFlows() : mostFlows());
        clients = new ClientShares(config.maxClientSharePercent(), flows);
        held = new HeldBytes(
                config.maxHeldBytes() > 0 ? config.maxHeldBytes() : PlatformDependent.maxDirectMemory() / 2);
        try {
            for (EventExecutor executor : eventLoops.group()) {
                loops.add(new Loop(loops.size(), (IoEventLoop) executor, config, flows, clients, shortage, held));
            }
        } catch (RuntimeException | Error e) {
            endLoops();
            throw e;
        }
        housekeeper = supervisor.scheduled("sluice-housekeeper", HOUSEKEEPING, this::keepHouse);
    }

    private static IoHandlerFactory ioHandlers(boolean busyPoll) {
        return busyPoll
                ? EpollIoHandler.newFactory(0, () -> new BusyPoll(System::nanoTime))
                : EpollIoHandler.newFactory();
    }

    private static String withoutEpoll(Throwable cause) {
        if (!PlatformDependent.normalizedOs().equals("linux")) {
            return "Sluice needs Linux and its epoll; elsewhere, run the container image";
        }
        Throwable root = cause;
        while (root.getCause() != null) {
            root = root.getCause();
        }
        return "Netty's library for epoll cannot be loaded: " + root.getMessage() + "; it is unpacked to "
                + System.getProperty("java.io.tmpdir") + ", which must be writable and allow execution"
                + " (-Djava.io.tmpdir names another folder)";
    }

    /**
     * Opens, re-routes and closes listeners until they match. Costs what changed. Established sessions are never
     * touched. Any thread; calls are serialised. A frontend that cannot be opened is {@code FAILED} and retried; this
     * method does not throw for it.
     */
    public synchronized void apply(ServiceSnapshot snapshot) {
        SnapshotDiff diff = SnapshotDiff.between(current, snapshot);
        current = snapshot;
        origins = snapshot.surroundings().origins();
        states.lose(snapshot.surroundings().conflicts());
        Map<FrontendAddress, BoundFrontend> leaving = leaving(diff);
        List<BoundFrontend> staying = new ArrayList<>();
        for (ServicePort added : diff.added()) {
            ServiceState service = new ServiceState(stats.open(added.name()), affinityTable);
            services.put(added.name(), service);
            route(service, added, leaving, staying);
            Balance before = balances.remove(added.name());
            if (before != null) {
                service.goOn(before, config.nanoClock().getAsLong());
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
        balances.clear();
    }

    private void closeInherited() {
        inherited.values().forEach(HandOver::close);
        inherited.clear();
    }

    private Origin originOf(IpAddress client) {
        Origin origin = origins.of(client);
        Transparency transparency = config.transparency();
        return origin == Origin.OUTSIDE
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
        for (Routing routing : service.update(served, this::originOf)) {
            FrontendAddress address = routing.frontend().address();
            BoundFrontend bound = leaving.remove(address);
            if (bound == null) {
                bound = new BoundFrontend(new FrontendRoutes(address, routing, broken::add));
                bound.inherit(inherited.remove(address));
                frontends.put(address, bound);
                states.add(bound);
            }
            bound.routes.routing = accepting ? routing : routing.refusing();
            staying.add(bound);
        }
    }

    private void fail(BoundFrontend frontend, Throwable cause) {
        frontend.close().forEach(Future::awaitUninterruptibly);
        states.failed(frontend, cause, config.nanoClock().getAsLong());
    }

    /** Opens frontends that should be open, and records the state of each. */
    private void settle(Collection<BoundFrontend> unsettled) {
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

    /**
     * Tells which addresses have no rules in the kernel, since it rejects them, and why. They are {@code FAILED} until a
     * later call leaves them out, whatever becomes of their sockets. Any thread.
     */
    public synchronized void rejected(Map<FrontendAddress, String> reasons) {
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
                : frontends.containsKey(address.atAllAddresses());
    }

    /** The ports of frontends at single addresses, as of frontends at all; looked for only if one of those is to be opened. */
    private Set<FrontendAddress> portsOfSingles(Collection<BoundFrontend> opening) {
        if (opening.stream().noneMatch(frontend -> frontend.address.address().isUnspecified())) {
            return Set.of();
        }
        return frontends.keySet().stream()
                .filter(address -> !address.address().isUnspecified())
                .map(FrontendAddress::atAllAddresses)
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

    /** Called by the housekeeper, and by tests. */
    void keepHouse() {
        shortage.check();
        synchronized (this) {
            if (!released) {
                closeBroken();
                retryFailed();
                closeUnused();
            }
        }
    }

    private void closeBroken() {
        for (BrokenListener next = broken.poll(); next != null; next = broken.poll()) {
            BoundFrontend frontend = frontends.get(next.address());
            if (frontend != null && frontend.has(next.listener())) {
                fail(frontend, next.cause());
            }
        }
    }

    private void retryFailed() {
        settle(states.retryDue(config.nanoClock().getAsLong()));
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

    /** The state of every frontend of the last snapshot, ordered by address. Any thread. */
    public List<FrontendStatus> frontends() {
        return Stream.concat(frontends.values().stream().map(frontend -> frontend.status), states.lost().stream())
                .sorted(Comparator.comparing((FrontendStatus s) -> s.address().address())
                        .thenComparing(s -> s.address().port())
                        .thenComparing(s -> s.address().protocol()))
                .toList();
    }

    /** How many descriptors forwarding leaves to the HTTP connections of this process, whatever it forwards. */
    public static int descriptorsLeftForHttp() {
        return Descriptors.LEFT_FOR_HTTP;
    }

    /** Number of frontends in each state, without listing them. Any thread. */
    public FrontendCounts counts() {
        return states.counts();
    }

    /** What was counted so far. */
    public Stats stats() {
        return stats;
    }

    /** For tests. */
    List<Loop> loops() {
        return loops;
    }

    /** For tests. */
    ClientShares clients() {
        return clients;
    }

    /** TCP sessions open now, those of services that are gone included. */
    public int sessions() {
        int sum = 0;
        for (Loop loop : loops) {
            sum += loop.sessions();
        }
        return sum;
    }

    /** Bytes kept for readers that do not take them, over all sessions. */
    public long heldBytes() {
        return held.bytes();
    }

    /** Refuses new connections and flows from now on; those that exist go on. */
    public synchronized void stopAccepting() {
        accepting = false;
        List<Future<?>> closing = new ArrayList<>();
        for (BoundFrontend frontend : frontends.values()) {
            frontend.routes.routing = frontend.routes.routing.refusing();
            closing.addAll(frontend.stopAccepting());
        }
        states.stopRetrying();
        closing.forEach(Future::awaitUninterruptibly);
    }

    /** What {@link #release} would hand out now; UDP flows come and go in between. */
    public synchronized HandOver.Size handOverSize() {
        int open = 0;
        int sockets = 0;
        for (BoundFrontend frontend : frontends.values()) {
            open += frontend.isOpen() ? 1 : 0;
            sockets += frontend.sockets();
        }
        return new HandOver.Size(open, sockets + flows.active());
    }

    /**
     * Stops to read from all sockets but those of TCP sessions, and hands them out with what a successor needs to go on.
     * Clients wait. Until {@link #takeBack} or {@link #letGo}, no snapshot is to be applied.
     */
    public synchronized HandOver release() {
        Map<FrontendAddress, List<Future<HandOver.OpenSocket>>> detaching = new HashMap<>();
        frontends.forEach((address, frontend) -> {
            if (frontend.isOpen()) {
                detaching.put(address, frontend.detach());
            }
        });
        List<HandOver.Sockets> sockets = new ArrayList<>(detaching.size());
        detaching.forEach((address, futures) -> {
            List<HandOver.OpenSocket> detached = detached(address, futures);
            if (!detached.isEmpty()) {
                sockets.add(new HandOver.Sockets(address, detached));
            }
        });
        Map<ServiceState, List<Balance.Pin>> pins =
                affinityTable.pins(config.nanoClock().getAsLong());
        List<Balance> balance = new ArrayList<>(services.size());
        services.forEach((name, service) ->
                balance.add(new Balance(name, service.turns(), pins.getOrDefault(service, List.of()))));
        released = true;
        return new HandOver(sockets, balance);
    }

    private static List<HandOver.OpenSocket> detached(
            FrontendAddress address, List<Future<HandOver.OpenSocket>> futures) {
        List<HandOver.OpenSocket> sockets = new ArrayList<>(futures.size());
        for (Future<HandOver.OpenSocket> future : futures) {
            if (future.awaitUninterruptibly().isSuccess()) {
                sockets.add(future.getNow());
            } else {
                log.error("internal error; not handing over a socket of {}", address, future.cause());
            }
        }
        return sockets;
    }

    /** Goes on as before the {@link #release}, since nobody came to take over. */
    public synchronized void takeBack(HandOver handOver) {
        released = false;
        for (HandOver.Sockets sockets : handOver.frontends()) {
            Objects.requireNonNull(frontends.get(sockets.address())).inherit(sockets);
        }
        settle(frontends.values().stream()
                .filter(frontend -> !frontend.isOpen())
                .toList());
        frontends.values().stream().filter(BoundFrontend::lingers).forEach(lingering::add);
    }

    /** Closes what was released, which the successor has open, too. Nothing new is served from now on. */
    public synchronized void letGo(HandOver handOver) {
        released = false;
        accepting = false;
        states.stopRetrying();
        handOver.frontends().forEach(HandOver::close);
    }

    /** Has the first snapshot use the sockets of a predecessor, and goes on where its balancing stood. */
    public synchronized void inherit(HandOver handOver) {
        for (HandOver.Sockets sockets : handOver.frontends()) {
            inherited.put(sockets.address(), sockets);
        }
        for (Balance balance : handOver.services()) {
            balances.put(balance.name(), balance);
        }
    }

    /**
     * Waits for open TCP sessions to end by themselves.
     *
     * @return how many were still open when the time was up
     */
    public int drain(Duration timeout) throws InterruptedException {
        long deadline = System.nanoTime() + timeout.toNanos();
        while (sessions() > 0 && System.nanoTime() - deadline < 0) {
            TimeUnit.MILLISECONDS.sleep(DRAIN_POLL_MILLIS);
        }
        return sessions();
    }

    /** Resets what is left and stops the loops. Closing again does nothing. */
    @Override
    public void close() {
        housekeeper.close();
        synchronized (this) {
            if (closed) {
                return;
            }
            closed = true;
            accepting = false;
            List<Future<?>> closing = new ArrayList<>();
            frontends.values().forEach(frontend -> closing.addAll(frontend.close()));
            closing.forEach(Future::awaitUninterruptibly);
            frontends.values().forEach(states::forget);
            frontends.clear();
            closeInherited();
        }
        endLoops();
    }

    private void endLoops() {
        loops.forEach(Loop::closeSocketsAtEnd);
        // A loop without a quiet period does not look at its hooks.
        eventLoops.close(QUIET, SHUTDOWN).awaitUninterruptibly();
        loops.forEach(Loop::free);
    }

    /** Each flow takes a descriptor, and a local port that is its own on the whole machine. */
    static int mostFlows() {
        long ports = 28_232;
        try {
            String[] range = Sysctl.read("net/ipv4/ip_local_port_range").split("\\s+");
            ports = Long.parseLong(range[1]) - Long.parseLong(range[0]) + 1;
        } catch (IOException | NumberFormatException | ArrayIndexOutOfBoundsException e) {
            log.debug("local port range unknown, assuming the kernel's default", e);
        }
        return (int) Math.min(Descriptors.LIMIT / 2, ports * 7 / 10);
    }
}
