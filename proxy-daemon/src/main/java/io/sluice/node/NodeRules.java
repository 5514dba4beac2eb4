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
 * Keeps the kernel's rules equal to a snapshot: which packets are delivered to the forwarder's sockets, and which are
 * refused or dropped before anything is accepted.
 *
 * <p>The first snapshot replaces whatever a predecessor left; a later one changes only what differs, in one transaction.
 * Rules that somebody else removes are put back within seconds.
 */
public final class NodeRules implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(NodeRules.class);
    /** What is new is soon used, and may be on a bridge that is as new; many changes are one look. */
    private static final Duration ROUND = Duration.ofMillis(500);

    private static final int ROUNDS_PER_CHECK = 10;

    private static final String REMOVED = "somebody removed the rules that lead packets here; putting them back ({})";

    private final RuleOptions options;
    private final NodeKernel kernel;
    private final PolicyRouting routing;
    private final KernelFeatures features;
    private final LongSupplier nanoTime;
    private final NetworkInterfaces addresses;
    private final ServiceConnections connections;
    private @Nullable Worker guard;
    /** Of the guard's thread. */
    private int rounds;
    // Guarded by this.
    private final RuleTable table;
    /** What is to be in force; null before there is anything. */
    private @Nullable ServiceSnapshot wanted;
    /** Why that could not be put back; empty if nothing is wrong. */
    private String trouble = "";
    /** Of service ports that the snapshot has whose rules the kernel has. */
    private final RejectedServicePorts rejections;

    private Optional<String> hindrance = Optional.empty();
    private boolean inForce;
    /** Whether the chain is there that has to come before the hook of bridges. */
    private boolean bridged;

    /** Whether the kernel has the rules of an earlier snapshot, and not those that are wanted. */
    private boolean behind;

    private boolean looking;
    private boolean probed;
    private boolean probing;
    private boolean refusing;
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
        this.table = new RuleTable(flippedPortBits());
        routing = new PolicyRouting(options, kernel);
        if (!features.tproxy()) {
            log.warn(
                    "nft has no tproxy on this kernel (module nft_tproxy): connection tracking is used, and a Service's TCP"
                            + " port cannot be served where a process of the node has it on all addresses");
        }
        addresses = new NetworkInterfaces(kernel);
        connections = new ServiceConnections(kernel, addresses);
        addresses.refresh();
    }

    /**
     * Rules that are not yet there. To be called before there are many sockets.
     *
     * @param onRejections called with all addresses whose rules the kernel rejects, and its reasons, whenever these change;
     *     by the thread that found out
     * @throws IllegalStateException if this machine lacks something; the message says on one line what to do
     */
    public static NodeRules open(RuleOptions options, Consumer<Map<FrontendAddress, String>> onRejections) {
        LinuxKernel kernel = new LinuxKernel();
        Optional<String> unmet = NodeRequirements.unmet(options, kernel);
        if (unmet.isPresent()) {
            throw new IllegalStateException(unmet.get());
        }
        NetworkPolicyCheck.run(kernel);
        return new NodeRules(options, onRejections, kernel, KernelFeatures.of(kernel), System::nanoTime);
    }

    /** The machine's addresses; looked at again every few seconds, and soon after a change. */
    public NetworkInterfaces addresses() {
        return addresses;
    }

    /**
     * The SO_PRIORITY of a socket that connects to an endpoint, 0 for the kernel's default: connections with it are not
     * redirected. Any thread, a loop too.
     */
    public int priority(Endpoint endpoint) {
        return table.isExempt(endpoint) ? NftScript.NOT_REDIRECTED_PRIORITY : 0;
    }

    /** Starts to look after the rules. */
    public void start(Supervisor supervisor) {
        guard = supervisor.scheduled("sluice-rules", ROUND, this::round);
    }

    private void round() {
        boolean look;
        boolean probe;
        synchronized (this) {
            look = looking;
            looking = false;
            probe = probing;
            probing = false;
        }
        if (++rounds % ROUNDS_PER_CHECK == 0) {
            check();
        } else if (look) {
            refresh();
        }
        if (probe) {
            new SelfProbe(options, kernel).run();
        }
    }

    /**
     * Makes the rules those of a snapshot. Any thread; calls are serialised.
     *
     * @throws IllegalStateException if the kernel does not take them; the rules that were in force still are
     */
    public synchronized void apply(ServiceSnapshot snapshot) {
        if (closed) {
            return;
        }
        looking = true;
        wanted = snapshot;
        try {
            if (!inForce || !change(snapshot)) {
                replace(snapshot);
            }
            trouble = "";
            behind = false;
            rejections.publish();
            if (!probed) {
                probed = true;
                // Beside the start, which does not wait for it.
                probing = true;
            }
        } catch (IOException e) {
            behind = true;
            rejectAll(snapshot, e);
            throw new IllegalStateException("the kernel's rules could not be changed: " + e.getMessage(), e);
        }
    }

    /** The kernel keeps the rules that it has, so this concerns service ports whose rules were to change. */
    private void rejectAll(ServiceSnapshot snapshot, IOException cause) {
        rejections.publishWith(table.changed(snapshot), cause);
    }

    private void refresh() {
        addresses.refresh();
        synchronized (this) {
            if (closed || !inForce || bridged || !addresses.bridgesAreHooked()) {
                return;
            }
            bridged = true;
            try {
                kernel.load(NftScript.bridged(options));
            } catch (IOException e) {
                log.error("connections from pods on a bridge may not arrive: {}", e.getMessage());
            }
        }
    }

    /** What is other in the port that a TCP listener has than in that of its frontend. */
    public int flippedPortBits() {
        return features.tproxy() ? NftScript.FLIPPED_PORT_BITS : 0;
    }

    private void replace(ServiceSnapshot snapshot) throws IOException {
        inForce = false;
        routing.add();
        List<ServicePort> ports = new ArrayList<>();
        snapshot.forEach(ports::add);
        Set<Element> others = table.beginWith(snapshot, ports);
        // Also those whose frontend has gone: the table that knew them goes, too.
        others.addAll(connections.late(each -> true));
        others.addAll(connections.answeredFlows());
        bridged = addresses.bridgesAreHooked();
        String empty = NftScript.table(options, features)
                + (bridged ? NftScript.bridged(options) : "")
                + NftScript.add(others)
                + (refusing ? NftScript.REJECT : "");
        try {
            kernel.load(empty + NftScript.add(table.elements(ports)));
            rejections.clear(nanoTime.getAsLong());
        } catch (IOException e) {
            log.debug("not all of the rules were taken: {}", e.getMessage());
            kernel.load(empty);
            rejections.clear(nanoTime.getAsLong());
            addWhatIsTaken(ports);
        }
        table.isNow(snapshot);
        inForce = true;
    }

    /** Halves what is refused until it is one, so that one costs nobody else anything. */
    private void addWhatIsTaken(List<ServicePort> ports) {
        if (ports.isEmpty()) {
            return;
        }
        try {
            kernel.load(NftScript.add(table.elements(ports)));
        } catch (IOException e) {
            if (ports.size() == 1) {
                rejections.add(ports.get(0), e);
                return;
            }
            int half = ports.size() / 2;
            addWhatIsTaken(ports.subList(0, half));
            addWhatIsTaken(ports.subList(half, ports.size()));
        }
    }

    /** Returns false if the rules are not those that were made. */
    private boolean change(ServiceSnapshot snapshot) throws IOException {
        RuleTable.RuleChanges difference = table.difference(snapshot, rejections::contains);
        // Before anything here is other than in the kernel: it may fail.
        Set<String> leaving = difference.goneFrontends();
        // A frontend that goes has no listener any more, so nothing is added to its connections later.
        List<Element> late =
                leaving.isEmpty() ? List.of() : connections.late(each -> leaving.contains(each.frontend()));
        RuleTable.Change change = table.change(difference);
        String script =
                NftScript.delete(change.gone()) + NftScript.add(late) + NftScript.add(change.come()) + change.ranges();
        if (!script.isEmpty()) {
            try {
                kernel.load(script);
            } catch (IOException e) {
                Optional<String> missing = missing();
                if (missing.isPresent()) {
                    table.isNow(ServiceSnapshot.empty());
                }
                if (rejections.isEmpty()) {
                    log.warn(
                            missing.isPresent() ? REMOVED : "a change of the rules was refused; making all anew ({})",
                            e.getMessage());
                }
                return false;
            }
        }
        rejections.removeAll(difference.before());
        table.isNow(snapshot);
        return true;
    }

    /** Restores rules that another process removed, and retries those that the kernel rejected. */
    synchronized void check() {
        refresh();
        ServiceSnapshot snapshot = wanted;
        if (closed || snapshot == null) {
            return;
        }
        Optional<String> appeared = NodeRequirements.appeared();
        if (!appeared.equals(hindrance)) {
            hindrance = appeared;
            appeared.ifPresentOrElse(log::error, () -> log.info("nothing stands in the way of packets any more"));
        }
        try {
            if (inForce) {
                Optional<String> missing = missing();
                if (missing.isEmpty() && behind) {
                    // The rules are those of an older snapshot, and the reconciler tries the wanted one again.
                    return;
                }
                if (missing.isEmpty()) {
                    addWhatIsTaken(rejections.takeDue(nanoTime.getAsLong()));
                    rejections.publish();
                    return;
                }
                log.warn(REMOVED, missing.get());
                table.isNow(ServiceSnapshot.empty());
            }
            replace(snapshot);
            behind = false;
            rejections.publish();
            if (!trouble.isEmpty()) {
                trouble = "";
                log.info("the rules that lead packets here are in force again");
            }
        } catch (IOException | RuntimeException e) {
            if (e instanceof IOException refusal) {
                rejectAll(snapshot, refusal);
            }
            String why = String.valueOf(e.getMessage());
            if (!why.equals(trouble)) {
                trouble = why;
                log.error("the rules that lead packets here could not be put back, which is tried again: {}", why);
            }
        }
    }

    private Optional<String> missing() throws IOException {
        try {
            kernel.check(NftScript.PROBE);
        } catch (IOException e) {
            return Optional.of(String.valueOf(e.getMessage()));
        }
        return routing.isThere() ? Optional.empty() : Optional.of("the routing rule, or its table");
    }

    /**
     * Waits until the peers of connections that are closed here have taken what was sent to them: without rules, nothing
     * that they answer arrives.
     */
    public void awaitDelivery(Duration atMost) throws InterruptedException {
        connections.awaitDelivery(atMost);
    }

    /** Refuses all new connections and flows from now on; those that exist are led here as before. */
    public synchronized void refuse() {
        refusing = true;
        if (closed || !inForce) {
            return;
        }
        try {
            kernel.load(NftScript.REJECT);
        } catch (IOException e) {
            log.warn("the rules could not be told to refuse; the closed ports do: {}", e.getMessage());
        }
    }

    /**
     * Leaves the rules as they are to a successor.
     *
     * @param otherRouting whether it has another mark, table or priority than these options say
     */
    public synchronized void leave(boolean otherRouting) {
        if (guard != null) {
            guard.close();
        }
        closed = true;
        try {
            if (otherRouting) {
                routing.remove();
            }
            kernel.close();
        } catch (IOException e) {
            log.warn("the routing rules could not be taken away: {}", e.getMessage());
        }
    }

    /** Takes everything away, or leaves rules that refuse what was served. Closing again does nothing. */
    @Override
    public synchronized void close() {
        if (guard != null) {
            guard.close();
        }
        if (closed) {
            return;
        }
        closed = true;
        try {
            if (options.keepOnExit()) {
                // Without listeners, the kernel refuses what is delivered here.
                log.info("the rules stay and refuse what was served");
                return;
            }
            kernel.load("table inet sluice\ndelete table inet sluice\n" + SelfProbe.REMOVE);
            routing.remove();
            kernel.close();
        } catch (IOException e) {
            log.warn("the rules could not be taken away: {}", e.getMessage());
        }
    }
}
