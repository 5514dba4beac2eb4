package io.sluice.node;

import io.sluice.model.Cidr;
import io.sluice.model.Endpoint;
import io.sluice.model.Origins;
import io.sluice.model.ServicePort;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SnapshotDiff;
import io.sluice.node.SetElements.Element;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Predicate;

/**
 * Computes the set and map elements for a snapshot, and the difference from the previous snapshot. Does not access the
 * kernel. Not thread-safe, except for {@link #isExempt}.
 */
final class RuleTable {
    private final int flippedPortBits;
    private final ClusterIps clusterIps = new ClusterIps();
    private final RedirectExemptions exemptions = new RedirectExemptions();
    private ServiceSnapshot current = ServiceSnapshot.empty();

    /** The difference between the service ports of two snapshots. */
    record ServicePortChanges(
            ServiceSnapshot to,
            List<ServicePort> before,
            List<ServicePort> after,
            Set<Element> removed,
            Set<Element> added) {
        /** The keys of removed frontends. */
        Set<String> removedFrontends() {
            Set<String> frontends = new HashSet<>();
            for (Element element : removed) {
                if (element.set().startsWith("frontend") && !added.contains(element)) {
                    frontends.add(element.key());
                }
            }
            return frontends;
        }
    }

    /**
     * The difference between two snapshots.
     *
     * @param ranges commands that replace the sets of address ranges; empty if they have not changed
     */
    record Change(Set<Element> removed, Set<Element> added, String ranges) {}

    RuleTable(int flippedPortBits) {
        this.flippedPortBits = flippedPortBits;
    }

    /** Returns whether packets from Sluice to an endpoint are exempt from redirection. May be called on any thread. */
    boolean isExempt(Endpoint endpoint) {
        return exemptions.includes(endpoint);
    }

    /** Records that the kernel holds the elements of a snapshot. An empty snapshot means that its state is unknown. */
    void setCurrent(ServiceSnapshot snapshot) {
        current = snapshot;
    }

    /** Starts with a snapshot. Returns its elements that do not belong to {@link #elements service ports}. */
    Set<Element> reset(ServiceSnapshot snapshot, List<ServicePort> ports) {
        exemptions.clear();
        exemptions.change(List.of(), ports, snapshot.context().origins().node());
        clusterIps.clear();
        Set<Element> others = new LinkedHashSet<>(clusterIps
                .change(List.of(), Set.of(), ports, snapshot.context().unservedClusterIps())
                .added());
        others.addAll(context(snapshot));
        return others;
    }

    Set<Element> elements(List<ServicePort> ports) {
        Set<Element> elements = new LinkedHashSet<>();
        ports.forEach(port -> elements.addAll(SetElements.of(port, flippedPortBits)));
        return elements;
    }

    /** Returns the service ports whose elements differ from those of the current snapshot. */
    List<ServicePort> changed(ServiceSnapshot snapshot) {
        SnapshotDiff diff = SnapshotDiff.between(current, snapshot);
        List<ServicePort> changed = new ArrayList<>(diff.added());
        for (SnapshotDiff.Change change : diff.changed()) {
            if (!elements(List.of(change.before())).equals(elements(List.of(change.after())))) {
                changed.add(change.after());
            }
        }
        return changed;
    }

    /** @param isRejected selects service ports without elements in the kernel, because it rejected them */
    ServicePortChanges difference(ServiceSnapshot snapshot, Predicate<ServicePort> isRejected) {
        SnapshotDiff diff = SnapshotDiff.between(current, snapshot);
        List<ServicePort> before = new ArrayList<>(diff.removed());
        List<ServicePort> after = new ArrayList<>(diff.added());
        diff.changed().forEach(change -> {
            before.add(change.before());
            after.add(change.after());
        });
        Set<Element> removed =
                elements(before.stream().filter(isRejected.negate()).toList());
        return new ServicePortChanges(snapshot, before, after, removed, elements(after));
    }

    /** Applies a difference to this table, and returns the elements to remove and to add. */
    Change change(ServicePortChanges difference) {
        ServiceSnapshot snapshot = difference.to();
        exemptions.change(
                difference.before(),
                difference.after(),
                snapshot.context().origins().node());
        ClusterIps.Change clusterIpChange = clusterIps.change(
                difference.before(),
                current.context().unservedClusterIps(),
                difference.after(),
                snapshot.context().unservedClusterIps());
        Set<Element> removed = new LinkedHashSet<>(difference.removed());
        Set<Element> added = new LinkedHashSet<>(difference.added());
        removed.addAll(clusterIpChange.removed());
        added.addAll(clusterIpChange.added());
        Set<Element> unchanged = new LinkedHashSet<>(removed);
        unchanged.retainAll(added);
        removed.removeAll(unchanged);
        added.removeAll(unchanged);
        return new Change(removed, added, contextChanges(snapshot));
    }

    private String contextChanges(ServiceSnapshot snapshot) {
        if (snapshot.context().origins().equals(current.context().origins())
                && snapshot.context().serviceCidrs().equals(current.context().serviceCidrs())
                && snapshot.context().nodePortRanges().equals(current.context().nodePortRanges())) {
            return "";
        }
        StringBuilder script = new StringBuilder();
        for (String set : NftScript.RANGE_SETS) {
            script.append(NftScript.flush(set + "4")).append(NftScript.flush(set + "6"));
        }
        return script.append(NftScript.add(context(snapshot))).toString();
    }

    private static Set<Element> context(ServiceSnapshot snapshot) {
        Set<Element> elements = new LinkedHashSet<>();
        Origins origins = snapshot.context().origins();
        for (Cidr range : origins.pods()) {
            elements.add(new Element("pod-cidr" + SetElements.family(range.network()), range.toString(), ""));
        }
        for (Cidr range : snapshot.context().serviceCidrs()) {
            elements.add(new Element("service-cidr" + SetElements.family(range.network()), range.toString(), ""));
        }
        for (Cidr range : snapshot.context().nodePortRanges()) {
            elements.add(new Element("node-port-address" + SetElements.family(range.network()), range.toString(), ""));
        }
        return elements;
    }
}
