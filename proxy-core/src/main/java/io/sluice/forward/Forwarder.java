package io.sluice.forward;

import io.netty.channel.IoEventLoop;
import io.netty.channel.IoHandlerFactory;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.util.concurrent.EventExecutor;
import io.sluice.balance.BalancePosition;
import io.sluice.balance.EndpointHealth;
import io.sluice.balance.EndpointStatus;
import io.sluice.balance.FrontendRouting;
import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.socket.Descriptors;
import io.sluice.stats.Stats;
import io.sluice.thread.EventLoops;
import io.sluice.thread.Supervisor;
import io.sluice.thread.Worker;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Forwards TCP and UDP for the frontends of a {@link ServiceSnapshot}.
 *
 * <p>This class is the control side: it opens and closes listeners and publishes a {@link FrontendRouting} to each. The
 * event loops handle connections and datagrams without taking any lock of this class.
 */
public final class Forwarder implements AutoCloseable {
    private static final Duration HOUSEKEEPING = Duration.ofMillis(250);
    private static final long DRAIN_POLL_MILLIS = 10;
    private static final Duration QUIET = Duration.ofMillis(1);
    private static final Duration SHUTDOWN = Duration.ofSeconds(5);

    private final ForwarderConfig config;
    private final Stats stats;
    private final ResourceExhaustion exhaustion;
    private final ClientLimits clients;
    private final BufferBudget bufferBudget;
    private final FlowLimit flows;
    private final EventLoops eventLoops;
    private final List<Loop> loops = new ArrayList<>();
    private final FrontendTable table;
    private final ListenerHandover listenerHandover;
    private final EndpointControl control;
    private final OpenConnections openConnections;
    private final ConnectionHandover connectionHandover;
    private final DirectConnections directConnections;
    private final Worker housekeeper;

    /**
     * Whether a handover is in progress: the sockets are released, but neither taken back nor closed yet. No socket may
     * be opened or closed meanwhile.
     */
    private boolean released;

    private boolean closed;

    /**
     * Creates a forwarder with a new {@link Supervisor} and starts its event loops.
     *
     * @throws IllegalStateException if epoll cannot be used; the message says why
     */
    public Forwarder(ForwarderConfig config, ForwarderCallbacks callbacks) {
        this(config, callbacks, new Supervisor());
    }

    /**
     * Creates a forwarder and starts its event loops.
     *
     * @param supervisor supervisor that reports threads of the forwarder that have died or are blocked
     * @throws IllegalStateException if epoll cannot be used; the message says why
     */
    public Forwarder(ForwarderConfig config, ForwarderCallbacks callbacks, Supervisor supervisor) {
        HostLimits.requireEpoll();
        this.config = config;
        this.stats = new Stats(config.loops() + DirectConnections.WRITERS);
        this.exhaustion = new ResourceExhaustion(config.nanoClock());
        this.eventLoops = EventLoops.start(supervisor, "sluice-loop", config.loops(), ioHandlers(config.busyPoll()));
        flows = new FlowLimit(config.maxFlows() > 0 ? config.maxFlows() : HostLimits.defaultMaxFlows());
        clients = new ClientLimits(config.maxClientSharePercent(), flows);
        bufferBudget = new BufferBudget(
                config.bufferBudgetBytes() > 0 ? config.bufferBudgetBytes() : HostLimits.defaultBufferBudget());
        try {
            for (EventExecutor executor : eventLoops.group()) {
                loops.add(new Loop(
                        loops.size(),
                        (IoEventLoop) executor,
                        config,
                        flows,
                        clients,
                        exhaustion,
                        bufferBudget,
                        callbacks.onEnd()));
            }
        } catch (RuntimeException | Error e) {
            endLoops();
            throw e;
        }
        table = new FrontendTable(config, stats, loops, new FrontendStates(callbacks.onFrontend()), callbacks);
        listenerHandover = new ListenerHandover(table);
        control = new EndpointControl(table, callbacks.onPutBack());
        openConnections = new OpenConnections(loops);
        connectionHandover = new ConnectionHandover(table, loops, stats);
        directConnections = new DirectConnections(this, table, config);
        housekeeper = supervisor.scheduled("sluice-housekeeper", HOUSEKEEPING, this::runHousekeeping);
    }

    private static IoHandlerFactory ioHandlers(boolean busyPoll) {
        return busyPoll
                ? EpollIoHandler.newFactory(0, () -> new BusyPoll(System::nanoTime))
                : EpollIoHandler.newFactory();
    }

    /**
     * Applies a snapshot: opens, updates and closes listeners. The cost depends on how much the snapshot differs from
     * the last one. Established connections are not affected. If a frontend cannot be opened, this method does not
     * throw; the frontend becomes {@code FAILED} and is retried. Thread-safe.
     */
    public synchronized void apply(ServiceSnapshot snapshot) {
        table.apply(snapshot);
    }

    /**
     * Replaces the set of addresses whose nftables rules the kernel rejected, with the reason for each. These frontends
     * are {@code FAILED}, even if their sockets are open, until a later call omits them. Thread-safe.
     */
    public synchronized void rejected(Map<FrontendAddress, String> reasons) {
        table.rejected(reasons);
    }

    /**
     * Retries failed frontends and closes drained ones. Called every 250 ms by the housekeeper thread, and by tests.
     */
    void runHousekeeping() {
        exhaustion.check();
        synchronized (this) {
            if (!released) {
                control.expire(config.nanoClock().getAsLong());
                table.runHousekeeping();
            }
        }
    }

    /** State of every frontend of the last snapshot, ordered by address. Thread-safe. */
    public List<FrontendStatus> frontends() {
        return table.states.statuses(table.frontends);
    }

    /** State of the frontends of a service port of the last snapshot. Thread-safe. */
    public List<FrontendStatus> frontends(ServicePort servicePort) {
        return table.states.statuses(servicePort, table.frontends);
    }

    /** Number of descriptors that forwarding always leaves free for the HTTP connections of this process. */
    public static int descriptorsLeftForHttp() {
        return Descriptors.RESERVED_FOR_HTTP;
    }

    /** Number of frontends in each state, without listing them. Thread-safe. */
    public FrontendCounts counts() {
        return table.states.counts();
    }

    /** Counters and timings of all services. Thread-safe. */
    public Stats stats() {
        return stats;
    }

    /** The event loops. For tests. */
    List<Loop> loops() {
        return loops;
    }

    /** The limits per client. For tests. */
    ClientLimits clients() {
        return clients;
    }

    /** Number of open TCP connections, including those of services that were removed. Thread-safe. */
    public int sessions() {
        int sum = 0;
        for (Loop loop : loops) {
            sum += loop.sessions();
        }
        return sum;
    }

    /** Number of open UDP flows. Thread-safe. */
    public int openFlows() {
        return flows.active();
    }

    /**
     * Lists open TCP connections, on each event loop in the order in which they were added. Waits for the event loops,
     * which visit at most 256 connections at a time. Thread-safe.
     *
     * @param after position from which to continue; null to start
     */
    public Listing<ConnectionStatus> connections(ConnectionFilter filter, Listing.@Nullable Position after, int limit) {
        return openConnections.connections(filter, after, limit);
    }

    /** Lists open UDP flows, as {@link #connections}. */
    public Listing<FlowStatus> flows(ConnectionFilter filter, Listing.@Nullable Position after, int limit) {
        return openConnections.flows(filter, after, limit);
    }

    /** Health and counters of all endpoints of all service ports. Thread-safe. */
    public List<EndpointStatus> endpoints() {
        return table.services.values().stream()
                .flatMap(service -> service.endpoints().stream())
                .toList();
    }

    /** Health and counters of the endpoints of a service port; empty if it does not exist. Thread-safe. */
    public List<EndpointStatus> endpoints(ServicePortName name) {
        return table.endpoints(name);
    }

    /** Passes the service port and content of each session affinity entry to an action. Thread-safe. */
    public void affinity(BiConsumer<ServicePortName, BalancePosition.AffinityEntry> action) {
        table.affinityTable.forEach(
                config.nanoClock().getAsLong(), (service, entry) -> action.accept(service.stats.name(), entry));
    }

    /**
     * Drains or disables an endpoint: it gets no new connections or flows. If it is disabled, this method also closes its
     * open ones. The change outlives changes of the Service, and a handover. Thread-safe.
     *
     * @param service the Service, as {@code namespace/name}
     * @param state {@code DRAINING} or {@code DISABLED}
     * @param duration time after which the endpoint is put back; null for no limit
     * @param force whether to take out even the last endpoint that answers
     */
    public EndpointControl.Outcome takeOut(
            String service, Endpoint endpoint, EndpointHealth.State state, @Nullable Duration duration, boolean force) {
        EndpointControl.Outcome outcome = control(() -> control.takeOut(
                service, endpoint, state, duration, force, config.nanoClock().getAsLong()));
        if (outcome == EndpointControl.Outcome.DONE && state == EndpointHealth.State.DISABLED) {
            openConnections.close(ConnectionFilter.of(service, endpoint));
        }
        return outcome;
    }

    /** Puts an endpoint back into use that an operator has taken out. Thread-safe. */
    public EndpointControl.Outcome putBack(String service, Endpoint endpoint) {
        return control(() -> control.putBack(service, endpoint));
    }

    private synchronized EndpointControl.Outcome control(Supplier<EndpointControl.Outcome> change) {
        return released || !table.isAccepting() ? EndpointControl.Outcome.NOT_NOW : change.get();
    }

    /** Records connections that do not go through this forwarder. */
    public DirectConnections directConnections() {
        return directConnections;
    }

    /** Bytes buffered for slow readers, over all connections. Thread-safe. */
    public long bufferedBytes() {
        return bufferBudget.bytes();
    }

    /** Stops accepting new connections and flows; existing ones continue. Cannot be undone. */
    public synchronized void stopAccepting() {
        table.stopAccepting();
    }

    /** The approximate number of frontends and descriptors that {@link #release} would hand over now. */
    public synchronized ForwarderHandover.Size handoverSize() {
        ForwarderHandover.Size size = listenerHandover.size();
        return new ForwarderHandover.Size(size.frontends(), size.descriptors() + flows.active());
    }

    /**
     * Releases all sockets except those of TCP connections for a handover, and returns them with the state that the new
     * process needs. Sluice then reads nothing from these sockets; new connections and datagrams wait in the kernel. Do
     * not apply a snapshot until {@link #takeBack} or {@link #closeReleased} has been called.
     */
    public synchronized ForwarderHandover release() {
        ForwarderHandover handover = listenerHandover.release(config.nanoClock());
        released = true;
        return handover;
    }

    /** Resumes serving the released sockets after a failed handover. */
    public synchronized void takeBack(ForwarderHandover handover) {
        released = false;
        listenerHandover.takeBack(handover);
    }

    /**
     * Closes this process's copies of the released sockets after a successful handover. From then on, this process
     * accepts no new connections or flows.
     */
    public synchronized void closeReleased(ForwarderHandover handover) {
        released = false;
        table.stopOpening();
        handover.frontends().forEach(ForwarderHandover::close);
    }

    /** Sets the sockets and load balancing state of the old process, which the first call of {@link #apply} uses. */
    public synchronized void inherit(ForwarderHandover handover) {
        listenerHandover.inherit(handover, config.nanoClock().getAsLong());
    }

    /**
     * Releases open TCP connections for another process without closing their sockets, after {@link #closeReleased}.
     * Releases none that are being established or are about to be reset.
     *
     * @return at most {@code max} connections; none if no connection can be released at this time
     */
    public synchronized List<MovedConnection> releaseConnections(int max) {
        return closed ? List.of() : connectionHandover.release(max);
    }

    /** Continues connections that {@link #releaseConnections} has released, but the other process has not continued. */
    public synchronized void takeBackConnections(List<MovedConnection> connections) {
        resumeConnections(connections, false);
    }

    /** Connections that the old process has released. */
    @FunctionalInterface
    public interface ReleasedConnections {
        /** Returns connections that this process must continue; the caller takes ownership of their descriptors. */
        List<MovedConnection> take() throws IOException;
    }

    /**
     * Continues connections that the old process has released. A connection whose Service or endpoint does not exist in
     * this process continues like one whose Service or endpoint was removed.
     *
     * @param released called when nothing delays the connections any more, such as a large change of the Services
     * @return the number of connections
     */
    public synchronized int receiveConnections(ReleasedConnections released) throws IOException {
        List<MovedConnection> connections = released.take();
        resumeConnections(connections, true);
        return connections.size();
    }

    private void resumeConnections(List<MovedConnection> connections, boolean received) {
        if (closed) {
            connections.forEach(ConnectionHandover::reset);
        } else {
            connectionHandover.resume(connections, received);
        }
    }

    /** Number of bytes that connections may still buffer for slow readers. Thread-safe. */
    public long bufferRoomBytes() {
        return bufferBudget.roomBytes();
    }

    /**
     * Waits until all TCP connections have ended or the timeout has passed.
     *
     * @return the number of connections that are still open
     */
    public int drain(Duration timeout) throws InterruptedException {
        long deadline = System.nanoTime() + timeout.toNanos();
        while (sessions() > 0 && System.nanoTime() - deadline < 0) {
            TimeUnit.MILLISECONDS.sleep(DRAIN_POLL_MILLIS);
        }
        return sessions();
    }

    /** Closes all listeners, resets open connections and stops the loops. Idempotent. */
    @Override
    public void close() {
        housekeeper.close();
        synchronized (this) {
            if (closed) {
                return;
            }
            closed = true;
            loops.forEach(Loop::stop);
            table.close();
        }
        endLoops();
    }

    private void endLoops() {
        loops.forEach(Loop::closeSocketsAtEnd);
        // Without a quiet period, Netty does not run the shutdown hooks of a loop.
        eventLoops.close(QUIET, SHUTDOWN).awaitUninterruptibly();
        loops.forEach(Loop::free);
    }
}
