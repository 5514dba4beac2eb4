package io.sluice.forward;

import io.netty.channel.IoEventLoop;
import io.netty.channel.IoHandlerFactory;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.util.concurrent.EventExecutor;
import io.sluice.balance.FrontendRouting;
import io.sluice.model.FrontendAddress;
import io.sluice.model.ServiceSnapshot;
import io.sluice.socket.Descriptors;
import io.sluice.stats.Stats;
import io.sluice.thread.EventLoops;
import io.sluice.thread.Supervisor;
import io.sluice.thread.Worker;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * Makes this machine's sockets match a {@link ServiceSnapshot} and forwards what arrives on them.
 *
 * <p>This is the control side: it opens and closes listeners and publishes a {@link FrontendRouting} to each. What happens to a
 * connection or a datagram from then on is the loops' affair.
 */
public final class Forwarder implements AutoCloseable {
    private static final Duration HOUSEKEEPING = Duration.ofMillis(250);
    private static final long DRAIN_POLL_MILLIS = 10;
    private static final Duration QUIET = Duration.ofMillis(1);
    private static final Duration SHUTDOWN = Duration.ofSeconds(5);

    private final ForwarderConfig config;
    private final Stats stats;
    private final ResourceExhaustion shortage;
    private final ClientLimits clients;
    private final BufferBudget held;
    private final FlowLimit flows;
    private final EventLoops eventLoops;
    private final List<Loop> loops = new ArrayList<>();
    private final FrontendTable table;
    private final ListenerHandover detachment;
    private final Worker housekeeper;

    /** Whether it is open which process serves, so that no socket may be opened or closed. */
    private boolean released;

    private boolean closed;

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
        HostLimits.requireEpoll();
        this.config = config;
        this.stats = new Stats(config.loops());
        this.shortage = new ResourceExhaustion(config.nanoClock());
        this.eventLoops = EventLoops.start(supervisor, "sluice-loop", config.loops(), ioHandlers(config.busyPoll()));
        flows = new FlowLimit(config.maxFlows() > 0 ? config.maxFlows() : HostLimits.mostFlows());
        clients = new ClientLimits(config.maxClientSharePercent(), flows);
        held = new BufferBudget(config.maxHeldBytes() > 0 ? config.maxHeldBytes() : HostLimits.heldBytes());
        try {
            for (EventExecutor executor : eventLoops.group()) {
                loops.add(new Loop(loops.size(), (IoEventLoop) executor, config, flows, clients, shortage, held));
            }
        } catch (RuntimeException | Error e) {
            endLoops();
            throw e;
        }
        table = new FrontendTable(config, stats, loops, new FrontendStates(onChange));
        detachment = new ListenerHandover(table);
        housekeeper = supervisor.scheduled("sluice-housekeeper", HOUSEKEEPING, this::keepHouse);
    }

    private static IoHandlerFactory ioHandlers(boolean busyPoll) {
        return busyPoll
                ? EpollIoHandler.newFactory(0, () -> new BusyPoll(System::nanoTime))
                : EpollIoHandler.newFactory();
    }

    /**
     * Opens, re-routes and closes listeners until they match. Costs what changed. Established sessions are never
     * touched. Any thread; calls are serialised. A frontend that cannot be opened is {@code FAILED} and retried; this
     * method does not throw for it.
     */
    public synchronized void apply(ServiceSnapshot snapshot) {
        table.apply(snapshot);
    }

    /**
     * Tells which addresses have no rules in the kernel, since it rejects them, and why. They are {@code FAILED} until a
     * later call leaves them out, whatever becomes of their sockets. Any thread.
     */
    public synchronized void rejected(Map<FrontendAddress, String> reasons) {
        table.rejected(reasons);
    }

    /** Called by the housekeeper, and by tests. */
    void keepHouse() {
        shortage.check();
        synchronized (this) {
            if (!released) {
                table.keepHouse();
            }
        }
    }

    /** The state of every frontend of the last snapshot, ordered by address. Any thread. */
    public List<FrontendStatus> frontends() {
        return table.statuses();
    }

    /** How many descriptors forwarding leaves to the HTTP connections of this process, whatever it forwards. */
    public static int descriptorsLeftForHttp() {
        return Descriptors.LEFT_FOR_HTTP;
    }

    /** Number of frontends in each state, without listing them. Any thread. */
    public FrontendCounts counts() {
        return table.states.counts();
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
    ClientLimits clients() {
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
        table.stopAccepting();
    }

    /** What {@link #release} would hand out now; UDP flows come and go in between. */
    public synchronized ForwarderHandover.Size handoverSize() {
        ForwarderHandover.Size size = detachment.size();
        return new ForwarderHandover.Size(size.frontends(), size.descriptors() + flows.active());
    }

    /**
     * Stops to read from all sockets but those of TCP sessions, and hands them out with what a successor needs to go on.
     * Clients wait. Until {@link #takeBack} or {@link #closeReleased}, no snapshot is to be applied.
     */
    public synchronized ForwarderHandover release() {
        ForwarderHandover handOver = detachment.release(config.nanoClock());
        released = true;
        return handOver;
    }

    /** Goes on as before the {@link #release}, since nobody came to take over. */
    public synchronized void takeBack(ForwarderHandover handOver) {
        released = false;
        detachment.takeBack(handOver);
    }

    /** Closes what was released, which the successor has open, too. Nothing new is served from now on. */
    public synchronized void closeReleased(ForwarderHandover handOver) {
        released = false;
        table.refuse();
        handOver.frontends().forEach(ForwarderHandover::close);
    }

    /** Has the first snapshot use the sockets of a predecessor, and goes on where its balancing stood. */
    public synchronized void inherit(ForwarderHandover handOver) {
        detachment.inherit(handOver);
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
            table.close();
        }
        endLoops();
    }

    private void endLoops() {
        loops.forEach(Loop::closeSocketsAtEnd);
        // A loop without a quiet period does not look at its hooks.
        eventLoops.close(QUIET, SHUTDOWN).awaitUninterruptibly();
        loops.forEach(Loop::free);
    }
}
