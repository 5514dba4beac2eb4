package io.sluice.daemon;

import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.sluice.apiserver.ApiAccess;
import io.sluice.apiserver.EventRecorder;
import io.sluice.apiserver.KubernetesReflector;
import io.sluice.config.Settings;
import io.sluice.daemon.Lifecycle.Phase;
import io.sluice.document.Problem;
import io.sluice.feed.FileReflector;
import io.sluice.feed.Reflector;
import io.sluice.feed.SyncLoop;
import io.sluice.forward.Forwarder;
import io.sluice.forward.ForwarderConfig;
import io.sluice.forward.FrontendStatus;
import io.sluice.forward.TransparentSockets;
import io.sluice.handover.HandoverChannel;
import io.sluice.handover.HandoverClient;
import io.sluice.handover.HandoverFormat;
import io.sluice.handover.HandoverServer;
import io.sluice.handover.OldProcess;
import io.sluice.http.HttpServer;
import io.sluice.model.FrontendAddress;
import io.sluice.model.ServiceSnapshot;
import io.sluice.node.InterfaceAddresses;
import io.sluice.node.NodeRules;
import io.sluice.ops.DaemonState;
import io.sluice.ops.Health;
import io.sluice.ops.KubeProxyMetrics;
import io.sluice.ops.Metrics;
import io.sluice.ops.MetricsPages;
import io.sluice.ops.ReadyFile;
import io.sluice.ops.ServiceTable;
import io.sluice.ops.StateChangeLog;
import io.sluice.ops.SyncState;
import io.sluice.text.Table;
import io.sluice.thread.Supervisor;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Puts the parts together, and starts and stops them in order: health first, what feeds the forwarder last. */
public final class Daemon implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(Daemon.class);

    /** A node's own components may start before its kubelet has registered it. */
    private static final Duration NODE_WAIT = Duration.ofMinutes(5);

    private final Settings settings;
    private final Supervisor supervisor = new Supervisor();
    private final StateChangeLog stateLog;
    private final @Nullable NodeRules rules;
    private final Forwarder forwarder;
    private final SyncLoop syncLoop;
    private final @Nullable InterfaceAddresses interfaceAddresses;
    private final Reflector reflector;
    private final @Nullable EventRecorder events;
    private final KubeProxyMetrics kubeProxyMetrics;
    private final HttpPorts ports;
    private final @Nullable ReadyFile readyFile;
    private final AtomicBoolean feeding = new AtomicBoolean(true);
    /** Held by whatever changes what is served, and while it is not decided by whom. */
    private final ReentrantLock changes = new ReentrantLock();

    private final Lifecycle lifecycle;
    private final @Nullable HandoverServer handOverPort;
    private final @Nullable HandoverClient succession;
    private boolean waitingSaid;

    /**
     * @param settings with a feed, unless there is an API server
     * @param configuration the same as the file would say it, for {@code /configz}
     * @param api where the objects come from; null for the feed
     * @throws IllegalStateException where this machine cannot forward, saying why
     */
    public Daemon(Settings settings, Map<String, Object> configuration, @Nullable ApiAccess api) {
        this(settings, configuration, api, InterfaceAddresses.THIS_MACHINE);
    }

    /** @param interfaces which addresses this machine's interfaces have */
    public Daemon(
            Settings settings,
            Map<String, Object> configuration,
            @Nullable ApiAccess api,
            InterfaceAddresses.Source interfaces) {
        this.settings = settings;
        Path handOver = settings.handOverSocket();
        if (handOver != null) {
            HandoverChannel.requireUsable(handOver);
        }
        stateLog = new StateChangeLog(Duration.ofMillis(200));
        ForwarderConfig config = settings.forwarder();
        if (settings.rules() == null) {
            rules = null;
        } else {
            rules = NodeRules.open(settings.rules(), this::rejected);
            config = config.withTransparency(new TransparentSockets(
                    rules.addresses()::isOwn,
                    rules.addresses()::answersReturn,
                    rules::priority,
                    rules.flippedPortBits()));
        }
        forwarder = new Forwarder(config, this::changed, supervisor);
        handOverPort =
                handOver == null ? null : new HandoverServer(handOver, forwarder, supervisor, changes, this::letGo);
        // A feed may not have been written yet; the lists of an API server are complete.
        succession = handOver == null
                ? null
                : new HandoverClient(handOver, forwarder, rulesOptions(), settings.feed() == null);
        lifecycle = new Lifecycle(handOver != null && OldProcess.isServed(handOver));
        PrometheusRegistry registry = new PrometheusRegistry();
        kubeProxyMetrics =
                new KubeProxyMetrics(registry, this::sync, () -> syncLoop().snapshot());
        syncLoop = new SyncLoop(settings.buildOptions(), this::apply, this::changed, kubeProxyMetrics::round);
        // In node mode the rules themselves know what is local, but health check ports and chains of Services do not.
        interfaceAddresses =
                rules == null || settings.buildOptions().nodePortAddresses().includesInterfaces()
                        ? new InterfaceAddresses(interfaces, syncLoop::offerInterfaceAddresses)
                        : null;
        if (api == null) {
            reflector = new FileReflector(Objects.requireNonNull(settings.feed()), settings.buildOptions(), syncLoop);
            events = null;
        } else {
            // In bind mode the Node adds node ports when it appears; rules without it would not masquerade.
            Duration nodeWait = rules == null ? Duration.ZERO : NODE_WAIT;
            KubernetesReflector kubernetes =
                    KubernetesReflector.of(api, settings.buildOptions(), settings.endpointsApi(), nodeWait, syncLoop);
            reflector = kubernetes;
            events = kubernetes.events();
        }
        Clock clock = Clock.systemUTC();
        Health health = new Health(this::sync, forwarder::counts, supervisor::failures, clock, registry);
        Metrics figures = new Metrics(forwarder::stats, this::state, registry);
        ports = new HttpPorts(
                new HttpServer(supervisor, Forwarder.descriptorsLeftForHttp()),
                settings,
                health.pages(),
                new MetricsPages(figures, forwarder::frontends, configuration).pages(),
                // A daemon that drains must get no new connections, whatever endpoints there are.
                () -> !lifecycle.isStopping() && sync().healthy(clock.instant()));
        readyFile = settings.readyFile() == null ? null : new ReadyFile(settings.readyFile(), health::ready);
    }

    /**
     * Starts everything.
     *
     * @throws IllegalStateException if the health or metrics port is taken and that is to end the start
     */
    public void start() {
        stateLog.start(supervisor);
        if (!lifecycle.is(Phase.WAITING)) {
            ports.open(settings.bindAddressHardFail());
        } else {
            HandoverFormat.warmUp();
            log.info("another process serves; it is asked to hand over once what is to be served is known");
        }
        if (readyFile != null) {
            readyFile.start(supervisor);
        }
        if (rules != null) {
            rules.start(supervisor);
        }
        if (interfaceAddresses != null) {
            // Before the first snapshot, so that it has them.
            interfaceAddresses.start(supervisor);
        }
        syncLoop.start(supervisor);
        reflector.start(supervisor);
    }

    /** A frontend has entered a state. Any thread, loops included. */
    private void changed(FrontendStatus status) {
        stateLog.frontend(status);
        // In bind mode most addresses are foreign, and whoever chose that knows.
        if (events != null
                && status.state() == FrontendStatus.State.FAILED
                && status.failure() != FrontendStatus.Failure.ADDRESS_NOT_LOCAL) {
            events.failed(status.service(), status.address() + ": " + status.reason());
        }
    }

    private void rejected(Map<FrontendAddress, String> reasons) {
        forwarder.rejected(reasons);
    }

    private void changed(Problem problem, boolean appeared) {
        stateLog.problem(problem, appeared);
        if (events != null && appeared) {
            events.problem(problem);
        }
    }

    /** On the control thread. */
    private void apply(ServiceSnapshot snapshot) {
        changes.lock();
        try {
            // Read once: a signal may end this process at any time, and then it takes nothing over.
            Phase phase = lifecycle.phase();
            if (!phase.isStopping()) {
                applyAlone(phase, snapshot);
            }
        } finally {
            changes.unlock();
        }
    }

    private void applyAlone(Phase phase, ServiceSnapshot snapshot) {
        if (phase == Phase.WAITING) {
            switch (Objects.requireNonNull(succession).takeOver(snapshot)) {
                case SERVING -> succeed();
                case WAITING -> throw nothingToServe();
                case BEATEN -> {
                    lifecycle.enter(Phase.BEATEN);
                    giveAway(rulesOptions());
                    return;
                }
            }
        } else {
            forwarder.apply(snapshot);
        }
        if (rules != null) {
            // After the listeners: what is led here finds one.
            rules.apply(snapshot);
        }
        ports.apply(snapshot.context().healthChecks());
        kubeProxyMetrics.applied(snapshot);
        if (lifecycle.enter(Phase.SERVING)) {
            if (handOverPort != null && !lifecycle.tookOver()) {
                handOverPort.open(false);
            }
            log.info("synced: {}", ServiceTable.counts(snapshot));
        }
    }

    private void succeed() {
        lifecycle.takenOver();
        ports.open(false);
        // At once: until then, another new process finds none that it can ask.
        Objects.requireNonNull(handOverPort).open(true);
    }

    private SyncLoop.NotNowException nothingToServe() {
        if (!waitingSaid) {
            waitingSaid = true;
            String source =
                    settings.feed() == null ? "the API server" : settings.feed().toString();
            log.warn("{} has nothing to serve, but another process serves; it goes on until there is", source);
        }
        return new SyncLoop.NotNowException("another process serves, and there is nothing to serve here");
    }

    /** What says whether two processes lead packets here in the same way. */
    private String rulesOptions() {
        return settings.rules() == null
                ? HandoverChannel.NO_RULES
                : settings.rules().routing();
    }

    /**
     * All is a successor's now, but for the open connections. With the lock held.
     *
     * @param successorsRules what it answers to {@link #rulesOptions}
     */
    private void letGo(String successorsRules) {
        lifecycle.enter(Phase.HANDED_OVER);
        giveAway(successorsRules);
    }

    private void giveAway(String successorsRules) {
        if (rules != null) {
            if (successorsRules.equals(HandoverChannel.NO_RULES)) {
                rules.close();
            } else {
                rules.leave(!successorsRules.equals(rulesOptions()));
            }
        }
        ports.close();
        lifecycle.givenAway();
    }

    public boolean isBeaten() {
        return lifecycle.wasBeaten();
    }

    /** Runs this when a successor has taken over, and this process has only its open connections. */
    public void whenSucceeded(Runnable action) {
        lifecycle.whenServedElsewhere(action);
    }

    private SyncState sync() {
        return new SyncState(
                lifecycle.isStopping(),
                syncLoop.pendingSince(),
                lifecycle.is(Phase.WAITING) ? Optional.empty() : syncLoop.lastApplied(),
                syncLoop.lastOffered(),
                syncLoop.nodeUnfit(),
                reflector.watches());
    }

    private DaemonState state() {
        return new DaemonState(sync(), forwarder.counts(), syncLoop.problems(), forwarder.heldBytes());
    }

    /** Looks at the feed again now; of no effect where an API server tells every change. Any thread. */
    public void rescan() {
        if (feeding.get()) {
            reflector.rescan();
        }
    }

    /** Not ready, no new connections, and then waits for the open ones, at most the drain timeout. */
    public void drain() throws InterruptedException {
        lifecycle.enter(Phase.DRAINING);
        if (readyFile != null) {
            readyFile.close();
        }
        // First, so that no late change opens a listener again.
        stopFeeding();
        changes.lock();
        try {
            if (rules != null && !lifecycle.isServedElsewhere()) {
                rules.refuse();
            }
            forwarder.stopAccepting();
        } finally {
            changes.unlock();
        }
        int open = forwarder.sessions();
        if (open > 0) {
            log.info(
                    "draining {}, at most {} s",
                    Table.count(open, "open connection"),
                    settings.drainTimeout().toSeconds());
        }
        long deadline = System.nanoTime() + settings.drainTimeout().toNanos();
        int left = forwarder.drain(settings.drainTimeout());
        if (left > 0) {
            log.warn("cutting {} at the end of the drain", Table.count(left, "open connection"));
        }
        if (rules != null && !lifecycle.isServedElsewhere()) {
            rules.awaitDelivery(Duration.ofNanos(deadline - System.nanoTime()));
        }
    }

    /** Ends everything at once. */
    @Override
    public void close() {
        lifecycle.enter(Phase.CLOSED);
        if (readyFile != null) {
            readyFile.close();
        }
        stopFeeding();
        forwarder.close();
        if (rules != null && lifecycle.hasServed()) {
            // Until now they kept what was open going; what was closed, the kernel refused.
            rules.close();
        } else if (rules != null) {
            rules.leave(false);
        }
        ports.end();
        if (handOverPort != null) {
            handOverPort.close();
        }
        stateLog.close();
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

    Supervisor supervisor() {
        return supervisor;
    }

    public SyncLoop syncLoop() {
        return syncLoop;
    }

    public HttpPorts ports() {
        return ports;
    }
}
