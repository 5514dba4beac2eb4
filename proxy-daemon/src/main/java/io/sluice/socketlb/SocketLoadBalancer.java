package io.sluice.socketlb;

import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SnapshotDiff;
import io.sluice.socketlb.MapFormat.Pair;
import io.sluice.socketlb.SocketLbOptions.Mode;
import io.sluice.socketlb.SocketLbStatus.State;
import io.sluice.thread.Supervisor;
import io.sluice.thread.Worker;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.function.BiFunction;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keeps the maps of the BPF programs equal to the snapshot, without the endpoints that are out of use, and tells the
 * forwarder what the programs observe. Thread-safe.
 */
public final class SocketLoadBalancer implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(SocketLoadBalancer.class);

    private static final int POLL_MILLIS = 100;
    /** Outcomes that are kept while a snapshot is applied. */
    private static final int MAX_PENDING = 10_000;

    private static final long TRAFFIC_NANOS = TimeUnit.SECONDS.toNanos(1);
    private static final long RETRY_NANOS = TimeUnit.SECONDS.toNanos(10);
    private static final Duration WORKER_END = Duration.ofSeconds(2);

    private final SocketLbOptions options;
    private final BiFunction<ServicePort, Frontend, String> obstacle;
    private final ForwarderView forwarder;
    /** Runs a task while this process serves; otherwise drops it. */
    private final Executor whileServing;
    /** Service ports whose endpoints in use or failed frontends have changed. */
    private final Set<ServicePortName> changed = ConcurrentHashMap.newKeySet();

    private volatile State state;
    private volatile String reason;
    private volatile boolean ending;
    /** Number of open connections. */
    private volatile long open;
    /** Null if the programs are not loaded. */
    private volatile @Nullable RedirectedServices services;

    // The fields below are guarded by this.
    private @Nullable Programs programs;
    private @Nullable Redirects redirects;
    private @Nullable TrafficReader traffic;
    /** Whether this process has changed anything in the kernel. */
    private boolean begun;

    private ServiceSnapshot current = ServiceSnapshot.empty();
    private long nextTrafficNanos = System.nanoTime();
    private long nextRetryNanos = nextTrafficNanos;

    private @Nullable Supervisor supervisor;
    private @Nullable Outcomes outcomes;
    private @Nullable Worker worker;

    private SocketLoadBalancer(
            SocketLbOptions options,
            BiFunction<ServicePort, Frontend, String> obstacle,
            ForwarderView forwarder,
            Executor whileServing) {
        this.options = options;
        this.obstacle = obstacle;
        this.forwarder = forwarder;
        this.whileServing = whileServing;
        state = State.OFF;
        reason = "off";
    }

    /**
     * Loads the programs, unless the options say not to.
     *
     * @param masqueradeAll whether endpoints must see this node's address instead of the client's
     * @param whileServing runs a task if this process serves and no handover is in progress; otherwise drops it
     * @throws IllegalStateException if the mode is {@code REQUIRED} and this machine does not allow it
     */
    public static SocketLoadBalancer open(
            SocketLbOptions options, boolean masqueradeAll, ForwarderView forwarder, Executor whileServing) {
        return open(
                options,
                (port, frontend) -> Eligibility.obstacle(port, frontend, masqueradeAll),
                forwarder,
                whileServing,
                0);
    }

    /** @param maxEndpoints maximum number of entries in the map of endpoints; 0 for the default */
    static SocketLoadBalancer open(
            SocketLbOptions options,
            BiFunction<ServicePort, Frontend, String> obstacle,
            ForwarderView forwarder,
            Executor whileServing,
            int maxEndpoints) {
        SocketLoadBalancer created = new SocketLoadBalancer(options, obstacle, forwarder, whileServing);
        if (options.mode() != Mode.OFF) {
            try {
                created.load(Programs.load(options, maxEndpoints));
            } catch (IOException e) {
                if (options.mode() == Mode.REQUIRED) {
                    throw new IllegalStateException("--socket-lb=required: " + e.getMessage(), e);
                }
                created.unavailable(String.valueOf(e.getMessage()));
            }
        }
        return created;
    }

    private synchronized void load(Programs loaded) throws BpfException {
        programs = loaded;
        redirects = new Redirects(
                new Redirects.Maps(
                        loaded.map("frontends"), loaded.map("endpoints"), loaded.map("cursors"), loaded.map("members")),
                System::nanoTime);
        services = new RedirectedServices(redirects, obstacle, forwarder);
        traffic = new TrafficReader(loaded.map("traffic"));
        reason = "starting";
    }

    private void unavailable(String why) {
        log.warn("socket-level load balancing is not available, so all connections go through the forwarder: {}", why);
        state = State.UNAVAILABLE;
        reason = why;
    }

    /** Must be called before the first snapshot. */
    public synchronized void start(Supervisor threads) {
        supervisor = threads;
    }

    /**
     * Makes the maps equal to a snapshot, and attaches the programs the first time. Must be called only while this
     * process serves.
     */
    public synchronized void apply(ServiceSnapshot snapshot) {
        SnapshotDiff diff = SnapshotDiff.between(current, snapshot);
        RedirectedServices redirected = services;
        if (!begun) {
            begin(snapshot, names(diff));
        } else if (redirected != null) {
            redirected.apply(snapshot, names(diff));
        }
        current = snapshot;
    }

    private void begin(ServiceSnapshot snapshot, Set<ServicePortName> names) {
        RedirectedServices redirected = services;
        begun = true;
        try {
            if (programs == null || redirected == null) {
                // Another process may have left its programs, which would no longer follow the Services.
                if (Pins.remove(options.pins())) {
                    log.info("removed the socket-level load balancing of an earlier process");
                }
                return;
            }
            redirected.begin(snapshot, names);
            readTraffic(redirected);
            programs.attach();
            // Not earlier: two processes must not read the same outcomes.
            Outcomes received = new Outcomes(programs.descriptor("events"));
            outcomes = received;
            if (supervisor != null) {
                worker = supervisor.loop("sluice-socket-lb", () -> work(received));
            }
            state = State.ON;
            reason = "";
            log.info("socket-level load balancing is on, for {} frontends", redirected.size());
        } catch (IOException e) {
            release(true);
            unavailable(String.valueOf(e.getMessage()));
        }
    }

    private static Set<ServicePortName> names(SnapshotDiff diff) {
        Set<ServicePortName> names = new LinkedHashSet<>();
        diff.removed().forEach(port -> names.add(port.name()));
        diff.changed().forEach(change -> names.add(change.after().name()));
        diff.added().forEach(port -> names.add(port.name()));
        return names;
    }

    /** Updates service ports after their endpoints in use or failed frontends have changed. Never blocks. */
    public void changed(ServicePortName name) {
        if (services != null) {
            changed.add(name);
        }
    }

    private void work(Outcomes received) {
        List<Outcomes.Outcome> pending = new ArrayList<>();
        while (!ending) {
            pending.addAll(received.poll(POLL_MILLIS));
            // Does nothing while a snapshot is applied, and in a handover.
            whileServing.execute(() -> {
                maintain(pending);
                pending.clear();
            });
            if (pending.size() > MAX_PENDING) {
                pending.clear();
            }
        }
    }

    private synchronized void maintain(List<Outcomes.Outcome> outcomesSince) {
        RedirectedServices redirected = services;
        if (state != State.ON || redirected == null || redirects == null) {
            return;
        }
        // A client that gives up often causes one check, not many.
        new LinkedHashSet<>(outcomesSince)
                .stream()
                        .filter(outcome -> outcome.kind() == Outcomes.Kind.ABORTED)
                        .forEach(outcome -> report(redirected, outcome));
        outcomesSince.stream()
                .filter(outcome -> outcome.kind() != Outcomes.Kind.ABORTED)
                .forEach(outcome -> report(redirected, outcome));
        Set<ServicePortName> due = new HashSet<>(changed);
        changed.removeAll(due);
        long now = System.nanoTime();
        if (now - nextRetryNanos >= 0) {
            nextRetryNanos = now + RETRY_NANOS;
            due.addAll(redirected.toRetry());
        }
        due.addAll(redirected.withChangedAddresses());
        redirected.update(due);
        redirected.incomplete().forEach(forwarder::tryEjected);
        try {
            redirects.reclaim();
            if (now - nextTrafficNanos >= 0) {
                nextTrafficNanos = now + TRAFFIC_NANOS;
                readTraffic(redirected);
            }
        } catch (BpfException e) {
            throw new IllegalStateException(e.getMessage(), e);
        }
    }

    private void readTraffic(RedirectedServices redirected) throws BpfException {
        Objects.requireNonNull(traffic)
                .read(
                        Objects.requireNonNull(redirects)::contains,
                        redirected::owner,
                        (name, pair, change) -> forwarder.count(name, pair.endpoint(), change));
        open = Objects.requireNonNull(traffic).active();
    }

    private void report(RedirectedServices redirected, Outcomes.Outcome outcome) {
        ServicePortName owner = ownerName(redirected, outcome.pair().frontend());
        if (owner != null) {
            Endpoint endpoint = outcome.pair().endpoint();
            switch (outcome.kind()) {
                case ANSWERED -> forwarder.answered(owner, endpoint);
                case REFUSED -> forwarder.refused(owner, endpoint);
                case SILENT -> forwarder.silent(owner, endpoint);
                case ABORTED -> forwarder.check(owner, endpoint);
            }
        }
    }

    private static @Nullable ServicePortName ownerName(RedirectedServices redirected, FrontendAddress frontend) {
        RedirectedServices.Owner owner = redirected.owner(frontend);
        return owner == null ? null : owner.name();
    }

    /** The path of connections to a frontend from processes on this node. */
    public SocketPath path(ServicePort port, Frontend frontend) {
        RedirectedServices redirected = services;
        if (state == State.ON && redirected != null) {
            return redirected.path(port, frontend);
        }
        return new SocketPath(false, state == State.UNAVAILABLE ? "not available" : reason);
    }

    public SocketLbStatus status() {
        RedirectedServices redirected = services;
        if (redirected == null || state != State.ON) {
            return new SocketLbStatus(options.mode(), state, reason, 0, 0);
        }
        int rejections = redirected.rejections();
        String why = rejections == 0 ? "" : "no room in the maps for " + rejections + " frontends";
        return new SocketLbStatus(options.mode(), State.ON, why, redirected.size(), open);
    }

    /** Passes the open connections to an action, in no particular order. */
    public synchronized void connections(Consumer<SocketConnection> action) throws IOException {
        RedirectedServices redirected = services;
        if (programs != null && redirected != null) {
            programs.map("connections").forEach((cookie, value) -> {
                Pair pair = Pair.of(value, 0);
                action.accept(SocketConnection.of(cookie, value, ownerName(redirected, pair.frontend())));
            });
        }
    }

    /** Passes the session affinity entries to an action, in no particular order; expired ones, too. */
    public synchronized void affinity(Consumer<SocketAffinity> action) throws IOException {
        RedirectedServices redirected = services;
        if (programs != null && redirected != null) {
            long now = System.nanoTime();
            programs.map("affinity").forEach((key, value) -> {
                SocketAffinity entry = SocketAffinity.of(ByteBuffer.wrap(key).order(value.order()), value, now);
                ServicePortName owner = ownerName(redirected, entry.frontend());
                if (owner != null) {
                    action.accept(entry.of(owner));
                }
            });
        }
    }

    /** Ends the work of this process, and removes everything from the kernel. */
    @Override
    public void close() {
        end(false);
    }

    /**
     * Ends the work of this process. Only the first call has an effect.
     *
     * @param leave whether to leave programs and maps to the process that serves now; otherwise they are removed, and only
     *     open connections continue
     */
    public void end(boolean leave) {
        stopWorker();
        release(!leave);
    }

    private void stopWorker() {
        ending = true;
        Worker running = worker;
        if (running != null) {
            running.stop();
            try {
                running.join(WORKER_END);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private synchronized void release(boolean detach) {
        Programs own = programs;
        programs = null;
        redirects = null;
        services = null;
        state = State.OFF;
        reason = "off";
        if (own == null) {
            return;
        }
        if (outcomes != null) {
            outcomes.close();
            outcomes = null;
        }
        try (own) {
            // Before that, what is in the kernel belongs to another process.
            if (detach && begun) {
                own.detach();
            }
        } catch (IOException e) {
            log.error("socket-level load balancing: cannot remove '{}': {}", options.pins(), e.getMessage());
        }
    }
}
