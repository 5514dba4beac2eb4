package io.sluice.node;

import io.sluice.model.Cidr;
import io.sluice.model.Frontend;
import io.sluice.model.IpAddress;
import io.sluice.model.Origins;
import io.sluice.model.ServicePort;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SnapshotDiff;
import io.sluice.node.Elements.Element;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
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
    private static final int CHECK_SECONDS = 5;

    private final RuleOptions options;
    private final Interfaces addresses = new Interfaces();
    private final ScheduledExecutorService guard = Executors.newSingleThreadScheduledExecutor(task -> {
        Thread thread = new Thread(task, "sluice-rules");
        thread.setDaemon(true);
        return thread;
    });
    // Guarded by this.
    private final Map<IpAddress, Integer> clusterIps = new HashMap<>();
    private ServiceSnapshot current = ServiceSnapshot.empty();
    private boolean inForce;
    private boolean closed;

    public NodeRules(RuleOptions options) {
        this.options = options;
        addresses.refresh();
    }

    /** The machine's addresses; looked at again every few seconds. */
    public Interfaces addresses() {
        return addresses;
    }

    /** Starts to look after the rules. */
    @SuppressWarnings("FutureReturnValueIgnored") // the task logs what it throws
    public void start() {
        guard.scheduleWithFixedDelay(this::check, CHECK_SECONDS, CHECK_SECONDS, TimeUnit.SECONDS);
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
        try {
            if (inForce) {
                change(snapshot);
            } else {
                replace(snapshot);
            }
        } catch (IOException e) {
            // What is there is not what we believe.
            inForce = false;
            throw new IllegalStateException("the kernel's rules could not be changed: " + e.getMessage(), e);
        }
    }

    private void replace(ServiceSnapshot snapshot) throws IOException {
        route("add");
        clusterIps.clear();
        Set<Element> elements = new LinkedHashSet<>();
        snapshot.forEach(port -> {
            elements.addAll(Elements.of(port));
            count(port, 1);
        });
        StringBuilder script = new StringBuilder(Script.table(options.mark()));
        script.append(Script.add(elements))
                .append(Script.add(clusters(clusterIps.keySet())))
                .append(Script.add(surroundings(snapshot)));
        nft(script.toString());
        current = snapshot;
        inForce = true;
    }

    private void change(ServiceSnapshot snapshot) throws IOException {
        SnapshotDiff diff = SnapshotDiff.between(current, snapshot);
        Set<Element> gone = new LinkedHashSet<>();
        Set<Element> come = new LinkedHashSet<>();
        Set<IpAddress> clustersBefore = new LinkedHashSet<>();
        List<ServicePort> before = new ArrayList<>(diff.removed());
        List<ServicePort> after = new ArrayList<>(diff.added());
        diff.changed().forEach(change -> {
            before.add(change.before());
            after.add(change.after());
        });
        for (ServicePort port : before) {
            gone.addAll(Elements.of(port));
            clusterIpsOf(port).filter(clusterIps::containsKey).forEach(clustersBefore::add);
        }
        after.forEach(port -> come.addAll(Elements.of(port)));
        before.forEach(port -> count(port, -1));
        after.forEach(port -> count(port, 1));
        Set<IpAddress> clustersGone = new LinkedHashSet<>(clustersBefore);
        clustersGone.removeIf(clusterIps::containsKey);
        Set<IpAddress> clustersCome = new LinkedHashSet<>();
        after.forEach(port ->
                clusterIpsOf(port).filter(ip -> !clustersBefore.contains(ip)).forEach(clustersCome::add));
        Set<Element> unchanged = new LinkedHashSet<>(gone);
        unchanged.retainAll(come);
        gone.removeAll(unchanged);
        come.removeAll(unchanged);
        String script = Script.delete(gone)
                + late(gone, come)
                + Script.delete(clusters(clustersGone))
                + Script.add(come)
                + Script.add(clusters(clustersCome))
                + surroundingsIfChanged(snapshot);
        if (!script.isEmpty()) {
            nft(script);
        }
        current = snapshot;
    }

    /** Connections of the node's own processes go on after their Service has gone. */
    private static String late(Set<Element> gone, Set<Element> come) {
        List<Element> late = new ArrayList<>();
        for (Element element : gone) {
            if (element.set().startsWith("front") && !come.contains(element)) {
                late.add(new Element("late" + element.set().substring(5), element.key(), ""));
            }
        }
        return Script.add(late);
    }

    private String surroundingsIfChanged(ServiceSnapshot snapshot) {
        if (snapshot.surroundings().origins().equals(current.surroundings().origins())
                && snapshot.surroundings()
                        .serviceCidrs()
                        .equals(current.surroundings().serviceCidrs())) {
            return "";
        }
        StringBuilder script = new StringBuilder();
        for (String set : List.of("pods4", "pods6", "own4", "own6", "range4", "range6")) {
            script.append(Script.flush(set));
        }
        return script.append(Script.add(surroundings(snapshot))).toString();
    }

    private static Set<Element> surroundings(ServiceSnapshot snapshot) {
        Set<Element> elements = new LinkedHashSet<>();
        Origins origins = snapshot.surroundings().origins();
        for (Cidr range : origins.pods()) {
            elements.add(new Element("pods" + family(range.network()), range.toString(), ""));
        }
        elements.add(new Element("own4", "127.0.0.0/8", ""));
        elements.add(new Element("own6", "::1", ""));
        for (IpAddress address : origins.node()) {
            if (!address.isLoopback()) {
                elements.add(new Element("own" + family(address), address.toString(), ""));
            }
        }
        for (Cidr range : snapshot.surroundings().serviceCidrs()) {
            elements.add(new Element("range" + family(range.network()), range.toString(), ""));
        }
        return elements;
    }

    private static String family(IpAddress address) {
        return address.v6() ? "6" : "4";
    }

    private static List<Element> clusters(Set<IpAddress> addresses) {
        return addresses.stream()
                .map(address -> new Element("cluster" + family(address), address.toString(), ""))
                .toList();
    }

    private static java.util.stream.Stream<IpAddress> clusterIpsOf(ServicePort port) {
        return port.frontends().stream()
                .filter(frontend -> frontend.kind() == Frontend.Kind.CLUSTER_IP)
                .map(frontend -> frontend.address().address());
    }

    /** A cluster IP is one as long as any port has it. */
    private void count(ServicePort port, int change) {
        clusterIpsOf(port).forEach(ip -> clusterIps.merge(ip, change, (a, b) -> a + b == 0 ? null : a + b));
    }

    private void nft(String script) throws IOException {
        Tool.run(script, "nft", "-f", "-");
    }

    /** Marked packets are delivered here. What is there already, of us or of a predecessor, is left. */
    private void route(String verb) throws IOException {
        String mark = options.mark() + "/" + options.mark();
        String table = String.valueOf(options.routingTable());
        String priority = String.valueOf(options.rulePriority());
        for (String family : List.of("-4", "-6")) {
            boolean there = Tool.run("", "ip", family, "rule", "show", "priority", priority)
                    .contains(mark);
            if (there != verb.equals("add")) {
                Tool.run("", "ip", family, "rule", verb, "fwmark", mark, "lookup", table, "priority", priority);
            }
            if (verb.equals("add")) {
                Tool.run("", "ip", family, "route", "replace", "local", "default", "dev", "lo", "table", table);
            } else {
                Tool.run("", "ip", family, "route", "flush", "table", table);
            }
        }
    }

    private synchronized void check() {
        addresses.refresh();
        if (closed || !inForce) {
            return;
        }
        try {
            if (isThere()) {
                return;
            }
            log.warn("somebody removed the rules that lead packets here; putting them back");
            replace(current);
        } catch (IOException | RuntimeException e) {
            log.error("the rules that lead packets here could not be put back: {}", e.getMessage());
        }
    }

    private boolean isThere() {
        try {
            String tables = Tool.run("", "nft", "list", "tables", "inet");
            String rules = Tool.run("", "ip", "-4", "rule", "show", "priority", String.valueOf(options.rulePriority()));
            return tables.contains("table inet sluice\n") && rules.contains(options.mark());
        } catch (IOException e) {
            log.debug("rules not listed", e);
            return false;
        }
    }

    /** Takes everything away, or leaves rules that refuse what was served. Closing again does nothing. */
    @Override
    public synchronized void close() {
        guard.shutdownNow();
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
            nft("table inet sluice\ndelete table inet sluice\n");
            route("del");
        } catch (IOException e) {
            log.warn("the rules could not be taken away: {}", e.getMessage());
        }
    }
}
