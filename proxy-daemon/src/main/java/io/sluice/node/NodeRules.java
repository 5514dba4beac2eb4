package io.sluice.node;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.ServicePort;
import io.sluice.model.ServiceSnapshot;
import io.sluice.node.SetElements.Element;
import io.sluice.thread.Supervisor;
import io.sluice.thread.Worker;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Applies snapshots to the kernel's rules, which redirect packets to the forwarder's sockets, or reject or drop them
 * before a connection is accepted.
 *
 * <p>The first snapshot replaces the table left by an earlier process. Later snapshots apply only the differences, each
 * in one transaction. Rules removed by another process are restored within seconds.
 */
public final class NodeRules implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(NodeRules.class);
    /** Interval of the worker, which refreshes the interfaces after a snapshot: an endpoint may be on a new bridge. */
    private static final Duration INTERVAL = Duration.ofMillis(500);

    private static final int RUNS_PER_CHECK = 10;

    private static final String REMOVED =
            "table inet sluice or its routing rule was removed by another process; restoring it ({})";

    private final RuleOptions options;
    private final NodeKernel kernel;
    private final PolicyRouting routing;
    private final int flippedPortBits;
    private final LongSupplier nanoTime;
    private final NetworkInterfaces addresses;
    private final ServiceConnections connections;
    private @Nullable Worker worker;
    /** Number of runs of the worker. Used only on the worker's thread. */
    private int runs;
    // Guarded by this.
    private KernelFeatures features;
    private final RuleTable table;
    private final BridgeChain bridgeChain;
    private final DrainRules drainRules;
    /** The latest snapshot; null before the first. */
    private @Nullable ServiceSnapshot desired;
    /** Reason why the rules could not be restored; empty if there was no error. */
    private String restoreError = "";

    private final RejectedServicePorts rejections;
    private final MarkValidationLog markValidation = new MarkValidationLog();
    private boolean loaded;
    /** Whether the latest snapshot failed to load, so that the kernel has the rules of an earlier one. */
    private boolean outdated;

    private boolean refreshDue;
    private boolean probeScheduled;
    private boolean probeDue;
    private boolean closed;

    NodeRules(
            RuleOptions options,
            Consumer<Map<FrontendAddress, String>> onRejections,
            NodeKernel kernel,
            KernelFeatures features,
            LongSupplier nanoTime) {
        this.options = options;
        this.rejections = new RejectedServicePorts(onRejections);
        this.kernel = kernel;
        this.features = features;
        this.nanoTime = nanoTime;
        flippedPortBits = features.tproxy() ? NftScript.FLIPPED_PORT_BITS : 0;
        this.table = new RuleTable(flippedPortBits);
        routing = new PolicyRouting(options, kernel);
        addresses = new NetworkInterfaces(kernel);
        connections = new ServiceConnections(kernel, addresses);
        bridgeChain = new BridgeChain(options, kernel, addresses);
        drainRules = new DrainRules(options, kernel, connections);
        addresses.refresh();
    }

    /**
     * Checks that this machine meets the requirements of node mode, and creates the rules without loading them. Must be
     * called before many sockets are open, because it starts a shell, whose process closes all inherited descriptors.
     *
     * @param onRejections receives all addresses whose rules the kernel rejects, with reasons, when these change
     * @throws IllegalStateException if a requirement is not met; the message is one line that says what to change
     */
    public static NodeRules open(RuleOptions options, Consumer<Map<FrontendAddress, String>> onRejections) {
        LinuxKernel kernel = new LinuxKernel();
        Optional<String> unmet = NodeRequirements.findUnmet(options, kernel);
        if (unmet.isPresent()) {
            throw new IllegalStateException(unmet.get());
        }
        NetworkPolicyCheck.run(kernel);
        return new NodeRules(options, onRejections, kernel, KernelFeatures.of(kernel), System::nanoTime);
    }

    /** Returns the interfaces of this machine, refreshed every few seconds and soon after each snapshot. */
    public NetworkInterfaces addresses() {
        return addresses;
    }

    /**
     * Returns the SO_PRIORITY for a socket to an endpoint: a value that excludes its packets from redirection, or 0 for
     * the kernel's default. May be called on any thread, including event loops.
     */
    public int priority(Endpoint endpoint) {
        return table.isExempt(endpoint) ? NftScript.NOT_REDIRECTED_PRIORITY : 0;
    }

    /** Starts the worker that checks and restores the rules. */
    public void start(Supervisor supervisor) {
        worker = supervisor.scheduled("sluice-rules", INTERVAL, this::runPeriodically);
    }

    private void runPeriodically() {
        boolean refresh;
        boolean probe;
        synchronized (this) {
            refresh = refreshDue;
            refreshDue = false;
            probe = probeDue;
            probeDue = false;
        }
        if (++runs % RUNS_PER_CHECK == 0) {
            check();
        } else if (refresh) {
            refresh();
        }
        if (probe) {
            new SelfProbe(options, kernel).run();
        }
    }

    /**
     * Replaces the rules with those of a snapshot. Thread-safe; calls are serialized.
     *
     * @throws IllegalStateException if the kernel rejects the change; the previous rules stay active
     */
    public synchronized void apply(ServiceSnapshot snapshot) {
        if (closed) {
            return;
        }
        refreshDue = true;
        desired = snapshot;
        try {
            if (!loaded || !change(snapshot)) {
                replace(snapshot);
            }
            restoreError = "";
            outdated = false;
            rejections.publish();
            if (!probeScheduled) {
                probeScheduled = true;
                // The worker runs the probe, so that startup does not wait for it.
                probeDue = true;
            }
        } catch (IOException e) {
            outdated = true;
            rejectAll(snapshot, e);
            throw new IllegalStateException("cannot change the kernel's rules: " + e.getMessage(), e);
        }
    }

    /** Reports as rejected all service ports whose rules should have changed. The kernel keeps the previous rules. */
    private void rejectAll(ServiceSnapshot snapshot, IOException cause) {
        rejections.publishWith(table.changed(snapshot), cause);
    }

    private void refresh() {
        addresses.refresh();
        synchronized (this) {
            if (!closed && loaded) {
                bridgeChain.loadIfNeeded();
            }
        }
    }

    /** Returns the bits in which a TCP listener's port differs from its frontend's port; 0 without tproxy. */
    public int flippedPortBits() {
        return flippedPortBits;
    }

    private void replace(ServiceSnapshot snapshot) throws IOException {
        loaded = false;
        routing.add();
        List<ServicePort> ports = new ArrayList<>();
        snapshot.forEach(ports::add);
        Set<Element> others = table.reset(snapshot, ports);
        // Include all frontends: the old table, with the elements for frontends removed earlier, is deleted.
        others.addAll(connections.removedFrontendElements(each -> true));
        others.addAll(connections.repliedFlows());
        String empty =
                NftScript.table(options, features) + bridgeChain.script() + NftScript.add(others) + drainRules.script();
        try {
            kernel.load(empty + NftScript.add(table.elements(ports)));
            rejections.clear(nanoTime.getAsLong());
        } catch (IOException e) {
            log.debug("the kernel rejected some of the rules; adding service ports separately: {}", e.getMessage());
            kernel.load(empty);
            rejections.clear(nanoTime.getAsLong());
            rejections.load(ports, this::load);
        }
        table.setCurrent(snapshot);
        loaded = true;
    }

    private void load(List<ServicePort> ports) throws IOException {
        kernel.load(NftScript.add(table.elements(ports)));
    }

    /** Loads the differences. Returns false if the kernel rejects them, so that the table must be replaced. */
    private boolean change(ServiceSnapshot snapshot) throws IOException {
        RuleTable.ServicePortChanges difference = table.difference(snapshot, rejections::contains);
        // Listing connections may fail, so it must precede any change of state.
        // The listeners of removed frontends are already closed, so no connections can be added later.
        List<Element> open = connections.removedFrontendElements(difference.removedFrontends());
        RuleTable.Change change = table.change(difference);
        String script = NftScript.delete(change.removed())
                + NftScript.add(open)
                + NftScript.add(change.added())
                + change.ranges();
        if (!script.isEmpty()) {
            try {
                kernel.load(script);
            } catch (IOException e) {
                Optional<String> missing = missing();
                if (missing.isPresent()) {
                    table.setCurrent(ServiceSnapshot.empty());
                }
                if (rejections.isEmpty()) {
                    log.warn(
                            missing.isPresent() ? REMOVED : "the kernel rejected a change; replacing the table ({})",
                            e.getMessage());
                }
                return false;
            }
        }
        rejections.removeAll(difference.before());
        table.setCurrent(snapshot);
        return true;
    }

    /** Restores rules that another process removed, and retries those that the kernel rejected. */
    synchronized void check() {
        refresh();
        ServiceSnapshot snapshot = desired;
        if (closed || snapshot == null) {
            return;
        }
        markValidation.check();
        try {
            if (loaded && !startedTracking()) {
                Optional<String> missing = missing();
                if (missing.isEmpty() && outdated) {
                    // The sync loop retries the latest snapshot.
                    return;
                }
                if (missing.isEmpty()) {
                    rejections.load(rejections.takeDue(nanoTime.getAsLong()), this::load);
                    rejections.publish();
                    return;
                }
                log.warn(REMOVED, missing.get());
                table.setCurrent(ServiceSnapshot.empty());
            }
            replace(snapshot);
            outdated = false;
            rejections.publish();
            if (!restoreError.isEmpty()) {
                restoreError = "";
                log.info("rules restored");
            }
        } catch (IOException | RuntimeException e) {
            if (e instanceof IOException rejection) {
                rejectAll(snapshot, rejection);
            }
            String why = String.valueOf(e.getMessage());
            if (!why.equals(restoreError)) {
                restoreError = why;
                log.error("cannot restore the rules; retrying: {}", why);
            }
        }
    }

    /** Returns whether the kernel has started to track connections, so that the table needs other rules. */
    private boolean startedTracking() {
        if (features.tracksConnections() || !kernel.tracksConnections()) {
            return false;
        }
        log.info("another program has turned on connection tracking; replacing the rules");
        features = features.withTracking();
        return true;
    }

    private Optional<String> missing() throws IOException {
        try {
            kernel.check(NftScript.CHECK_TABLE);
        } catch (IOException e) {
            return Optional.of(String.valueOf(e.getMessage()));
        }
        return routing.isPresent() ? Optional.empty() : Optional.of("routing rule or routing table is missing");
    }

    /**
     * Waits until the peers of closed connections have acknowledged all data. Their acknowledgments do not arrive once
     * the rules are removed.
     */
    public void awaitDelivery(Duration atMost) throws InterruptedException {
        connections.awaitDelivery(atMost);
    }

    /** Rejects all new connections and flows from now on. Packets of established ones are redirected as before. */
    public synchronized void rejectNew() {
        drainRules.reject(loaded && !closed);
    }

    /**
     * Leaves all new connections and flows to kube-proxy if it can serve them. Until then, Sluice must serve them.
     * Packets of established ones are redirected as before.
     *
     * @param freePorts frees the ports that kube-proxy needs; called only if there are rules of kube-proxy
     */
    public boolean leaveNewToKubeProxy(Duration atMost, Runnable freePorts) throws InterruptedException {
        ServiceSnapshot snapshot;
        synchronized (this) {
            snapshot = desired;
        }
        if (snapshot == null || options.keepOnExit()) {
            return false;
        }
        KubeProxyCheck check = new KubeProxyCheck(kernel, snapshot, KubeProxyCheck.HEALTH_PORT);
        return check.await(atMost, freePorts) && releaseNew();
    }

    private synchronized boolean releaseNew() {
        if (!features.tracksConnections()) {
            // kube-proxy needs connection tracking, which might not have tracked a packet yet.
            features = features.withTracking();
            loaded = false;
            check();
        }
        return loaded && !closed && drainRules.release();
    }

    /**
     * Stops managing the rules and leaves them to a new process.
     *
     * @param otherRouting whether the new process uses other routing, so that this process must remove its own
     */
    public synchronized void leaveToNewProcess(boolean otherRouting) {
        if (worker != null) {
            worker.close();
        }
        closed = true;
        try {
            if (otherRouting) {
                routing.remove();
            }
            kernel.close();
        } catch (IOException e) {
            log.warn("cannot remove the routing rules: {}", e.getMessage());
        }
    }

    /** Removes all rules unless {@code --keep-rules-on-exit} is set. A second call has no effect. */
    @Override
    public synchronized void close() {
        if (worker != null) {
            worker.close();
        }
        if (closed) {
            return;
        }
        closed = true;
        try {
            if (options.keepOnExit()) {
                // Without sockets, the rules reject new connections and flows.
                log.info("keeping the rules, which now reject connections to Services");
                return;
            }
            kernel.load(NodeCleanup.REMOVE);
            routing.remove();
            kernel.close();
        } catch (IOException e) {
            log.warn("cannot remove the rules: {}", e.getMessage());
        }
    }
}
