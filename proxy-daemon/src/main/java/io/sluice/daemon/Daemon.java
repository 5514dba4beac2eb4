package io.sluice.daemon;

import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.sluice.admin.AdminSources;
import io.sluice.apiserver.ApiAccess;
import io.sluice.config.Settings;
import io.sluice.daemon.Lifecycle.Phase;
import io.sluice.feed.Reflector;
import io.sluice.feed.SyncLoop;
import io.sluice.forward.Forwarder;
import io.sluice.forward.ForwarderCallbacks;
import io.sluice.forward.ForwarderConfig;
import io.sluice.forward.TransparentSockets;
import io.sluice.handover.HandoverChannel;
import io.sluice.handover.HandoverFormat;
import io.sluice.handover.HandoverMarker;
import io.sluice.handover.Upgrade;
import io.sluice.http.HttpServer;
import io.sluice.model.ServiceSnapshot;
import io.sluice.node.InterfaceAddresses;
import io.sluice.node.NodeRules;
import io.sluice.ops.ConnectionLog;
import io.sluice.ops.DaemonState;
import io.sluice.ops.EndpointCounts;
import io.sluice.ops.EndpointMetrics;
import io.sluice.ops.Health;
import io.sluice.ops.KubeProxyMetrics;
import io.sluice.ops.Metrics;
import io.sluice.ops.MetricsPages;
import io.sluice.ops.ReadyFile;
import io.sluice.ops.ServiceTable;
import io.sluice.ops.SyncState;
import io.sluice.socketlb.SocketLoadBalancer;
import io.sluice.thread.Supervisor;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Creates, starts and stops the components. The health port is started first, the source of snapshots last. */
public final class Daemon implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(Daemon.class);

    /** Time for a batch of connections that is being handed over at the end of the drain. */
    private static final Duration LAST_BATCH_TIMEOUT = Duration.ofSeconds(5);

    private final Settings settings;
    private final Supervisor supervisor = new Supervisor();
    private final ChangeReporter reporter =
            new ChangeReporter(name -> EndpointCounts.of(forwarder().endpoints(name)));
    private final @Nullable ConnectionLog connectionLog;
    private final @Nullable NodeRules rules;
    private final Forwarder forwarder;
    private final SocketLoadBalancer sockets;
    private final SyncLoop syncLoop;
    private final @Nullable InterfaceAddresses interfaceAddresses;
    private final Reflector reflector;
    private final KubeProxyMetrics kubeProxyMetrics;
    private final HttpPorts ports;
    private final @Nullable ReadyFile readyFile;
    private final AtomicBoolean feeding = new AtomicBoolean(true);
    /** Held while a snapshot is applied and during a handover. */
    private final ReentrantLock changes = new ReentrantLock();

    private final Lifecycle lifecycle;
    private final Handovers handovers;
    private final Upgrade upgrade;

    /**
     * Creates a daemon without starting it.
     *
     * @param settings effective settings, which must include a feed if {@code api} is null
     * @param configuration the settings in the structure of a configuration file, for {@code /configz} and the admin API
     * @param api API server to watch; null to read the feed
     * @throws IllegalStateException if this machine does not meet a requirement, which the message names
     */
    public Daemon(Settings settings, Map<String, Object> configuration, @Nullable ApiAccess api) {
        this(settings, configuration, api, InterfaceAddresses.THIS_MACHINE);
    }

    /** Creates a daemon with a custom source of interface addresses, for tests. */
    public Daemon(
            Settings settings,
            Map<String, Object> configuration,
            @Nullable ApiAccess api,
            InterfaceAddresses.Source interfaces) {
        this.settings = settings;
        Path socket = settings.handoverSocket();
        if (socket != null) {
            HandoverChannel.requireUsable(socket);
        }
        PrometheusRegistry registry = new PrometheusRegistry();
        Path connections = settings.connectionLog();
        connectionLog = connections == null ? null : ConnectionLog.open(connections, Clock.systemUTC());
        if (connectionLog != null) {
            connectionLog.register(registry);
        }
        ForwarderConfig config = settings.forwarder();
        if (settings.rules() == null) {
            rules = null;
        } else {
            rules = NodeRules.open(settings.rules(), reasons -> forwarder().rejected(reasons));
            config = config.withTransparentSockets(new TransparentSockets(
                    rules.addresses()::isOwn,
                    rules.addresses()::repliesReturn,
                    rules::priority,
                    rules.flippedPortBits()));
        }
        ForwarderCallbacks callbacks =
                reporter.callbacks(connectionLog, name -> sockets().changed(name));
        forwarder = new Forwarder(config, callbacks, supervisor);
        handovers = new Handovers(settings, forwarder, supervisor, changes, this::handedOver);
        ServiceManager manager = ServiceManager.ofEnvironment(() -> upgrade().newPid());
        lifecycle = new Lifecycle(handovers.anotherServes(), manager::phaseChanged);
        sockets = SocketForwarderView.open(settings, forwarder, rules, task -> lifecycle.whileServing(changes, task));
        upgrade = new Upgrade(
                supervisor, changes, () -> lifecycle.is(Phase.SERVING), socket != null, settings.exitAfterHandover());
        kubeProxyMetrics =
                new KubeProxyMetrics(registry, this::sync, () -> syncLoop().snapshot());
        syncLoop = new SyncLoop(settings.buildOptions(), this::apply, reporter::problem, kubeProxyMetrics::round);
        // In node mode the kernel detects local addresses, but health check ports and chained Services need them too.
        interfaceAddresses =
                rules == null || settings.buildOptions().nodePortAddresses().includesInterfaces()
                        ? new InterfaceAddresses(interfaces, syncLoop::offerInterfaceAddresses)
                        : null;
        reflector = Reflectors.reflector(settings, api, syncLoop, reporter);
        Clock clock = Clock.systemUTC();
        Health health = new Health(this::sync, forwarder::counts, supervisor::failures, clock, registry);
        Metrics.register(forwarder::stats, this::state, registry);
        EndpointMetrics.register(forwarder::endpoints, settings.endpointMetrics(), registry);
        ports = new HttpPorts(
                new HttpServer(supervisor, Forwarder.descriptorsLeftForHttp()),
                settings,
                health.pages(),
                new MetricsPages(registry, forwarder::frontends, configuration).pages(),
                adminSources(health, api, clock, configuration).routes(),
                // Load balancers must not send new connections to a draining node, even if it has endpoints.
                () -> !lifecycle.isStopping() && sync().healthy(clock.instant()));
        readyFile = settings.readyFile() == null ? null : new ReadyFile(settings.readyFile(), health::ready);
    }

    /**
     * Starts all components.
     *
     * @throws IllegalStateException if the health or metrics port is in use and {@code bindAddressHardFail} is set
     */
    public void start() {
        reporter.start(supervisor, forwarder.stats());
        if (connectionLog != null) {
            connectionLog.start(supervisor);
        }
        if (!lifecycle.is(Phase.WAITING)) {
            ports.open(settings.bindAddressHardFail());
        } else {
            HandoverFormat.warmUp();
            log.info("another process is serving; requesting a handover after the first sync");
        }
        if (readyFile != null) {
            readyFile.start(supervisor);
        }
        if (rules != null) {
            rules.start(supervisor);
        }
        sockets.start(supervisor);
        if (interfaceAddresses != null) {
            // Must precede the first snapshot, which needs the addresses.
            interfaceAddresses.start(supervisor);
        }
        syncLoop.start(supervisor);
        reflector.start(supervisor);
    }

    private AdminSources adminSources(
            Health health, @Nullable ApiAccess api, Clock clock, Map<String, Object> configuration) {
        return new AdminSources(
                settings.rules() == null ? "bind" : "node",
                settings.buildOptions().nodeName(),
                api == null ? "feed " + settings.feed() : "API server " + api,
                clock.instant(),
                () -> lifecycle.phase().name(),
                handovers::received,
                upgrade,
                health::readiness,
                this::state,
                supervisor::failures,
                syncLoop::snapshot,
                forwarder,
                reporter.eventLog(),
                configuration,
                sockets,
                syncLoop::trace);
    }

    /** Called on the control thread. */
    private void apply(ServiceSnapshot snapshot) {
        changes.lock();
        try {
            // Read once: a signal may change the phase at any time, and a stopping process must not request a handover.
            Phase phase = lifecycle.phase();
            if (!phase.isStopping()) {
                applyLocked(phase, snapshot);
            }
        } finally {
            changes.unlock();
        }
    }

    private void applyLocked(Phase phase, ServiceSnapshot snapshot) {
        if (phase == Phase.WAITING) {
            if (!handovers.request(snapshot)) {
                lifecycle.enter(Phase.HANDOVER_FAILED);
                releaseRulesAndPorts(handovers.rules());
                return;
            }
            handoverReceived();
        } else {
            forwarder.apply(snapshot);
        }
        if (rules != null) {
            // Applied after the listeners are open, so that redirected packets find one.
            rules.apply(snapshot);
        }
        sockets.apply(snapshot);
        ports.apply(snapshot.context().healthChecks());
        kubeProxyMetrics.applied(snapshot);
        if (lifecycle.enter(Phase.SERVING)) {
            if (!lifecycle.hasReceivedHandover()) {
                handovers.open(false);
            }
            log.info("synced: {}", ServiceTable.counts(snapshot));
        }
        reporter.applied(snapshot);
    }

    private void handoverReceived() {
        lifecycle.handoverReceived();
        ports.open(false);
        // Must not be delayed: until the socket is open, the next new process cannot request a handover.
        handovers.open(true);
    }

    /**
     * Releases everything except open connections after a handover. Must be called with the lock held.
     *
     * @param newProcessRules {@link Handovers#rules} of the new process
     */
    private void handedOver(String newProcessRules) {
        lifecycle.enter(Phase.HANDED_OVER);
        upgrade.handedOver();
        HandoverMarker.write(settings.handoverMarker());
        releaseRulesAndPorts(newProcessRules);
    }

    private void releaseRulesAndPorts(String newProcessRules) {
        sockets.end(true);
        if (rules != null) {
            if (newProcessRules.equals(HandoverChannel.NO_RULES)) {
                rules.close();
            } else {
                rules.leaveToNewProcess(!newProcessRules.equals(handovers.rules()));
            }
        }
        ports.close();
        lifecycle.released();
    }

    public boolean handoverFailed() {
        return lifecycle.handoverFailed();
    }

    /** Runs an action after a handover, completed or failed: another process serves instead of this one. */
    public void whenServedElsewhere(Runnable action) {
        lifecycle.whenServedElsewhere(action);
    }

    private SyncState sync() {
        return new SyncState(
                lifecycle.isStopping(),
                syncLoop.pendingSince(),
                lifecycle.is(Phase.WAITING) ? Optional.empty() : syncLoop.lastApplied(),
                syncLoop.lastOffered(),
                syncLoop.nodeIneligibleReason(),
                reflector.watches());
    }

    private DaemonState state() {
        return new DaemonState(sync(), forwarder.counts(), syncLoop.problems(), forwarder.bufferedBytes());
    }

    /** Rescans the feed now. No effect with an API server, because watches report its changes. Thread-safe. */
    public void rescan() {
        if (feeding.get()) {
            reflector.rescan();
        }
    }

    /**
     * Reports not ready, stops accepting connections and waits up to the drain timeout until the open ones have ended or
     * have moved to the new process.
     */
    public void drain() throws InterruptedException {
        long deadline = System.nanoTime() + settings.drainTimeout().toNanos();
        lifecycle.enter(Phase.DRAINING);
        upgrade.close();
        if (readyFile != null) {
            readyFile.close();
        }
        // Must precede stopAccepting(), so that no later change opens a listener again.
        stopFeeding();
        awaitConnectionsMoved(settings.drainTimeout());
        sockets.end(lifecycle.isServedElsewhere() || !lifecycle.hasServed());
        boolean left = !lifecycle.isServedElsewhere() && ReturnToKubeProxy.attempt(settings, rules, ports);
        changes.lock();
        try {
            if (rules != null && !left && !lifecycle.isServedElsewhere()) {
                rules.rejectNew();
            }
            forwarder.stopAccepting();
        } finally {
            changes.unlock();
        }
        DrainProgress.await(forwarder, Duration.ofNanos(Math.max(0, deadline - System.nanoTime())));
        // A process that requests the handover during the drain receives the open connections, too.
        awaitConnectionsMoved(LAST_BATCH_TIMEOUT);
        if (rules != null && !lifecycle.isServedElsewhere()) {
            rules.awaitDelivery(Duration.ofNanos(deadline - System.nanoTime()));
        }
    }

    private void awaitConnectionsMoved(Duration timeout) throws InterruptedException {
        if (lifecycle.isServedElsewhere() && !lifecycle.handoverFailed()) {
            handovers.awaitConnectionsMoved(timeout);
        }
    }

    @Override
    public void close() {
        lifecycle.enter(Phase.CLOSED);
        handovers.stopReceiving();
        if (readyFile != null) {
            readyFile.close();
        }
        stopFeeding();
        sockets.end(lifecycle.isServedElsewhere() || !lifecycle.hasServed());
        forwarder.close();
        if (rules != null && lifecycle.hasServed()) {
            // Closed last: open connections need the rules, and without listeners the kernel rejects new connections.
            rules.close();
        } else if (rules != null) {
            rules.leaveToNewProcess(false);
        }
        ports.end();
        handovers.close();
        reporter.close();
        if (connectionLog != null) {
            connectionLog.close();
        }
    }

    private void stopFeeding() {
        if (feeding.compareAndSet(true, false)) {
            reflector.close();
            if (interfaceAddresses != null) {
                interfaceAddresses.close();
            }
            syncLoop.close();
        }
    }

    public Forwarder forwarder() {
        return forwarder;
    }

    private SocketLoadBalancer sockets() {
        return sockets;
    }

    Supervisor supervisor() {
        return supervisor;
    }

    /** Returns what starts the process that replaces this one. */
    public Upgrade upgrade() {
        return upgrade;
    }

    public SyncLoop syncLoop() {
        return syncLoop;
    }

    public HttpPorts ports() {
        return ports;
    }
}
