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
 * Which elements a snapshot wants in the kernel's sets and maps, and what differs from the one before. Knows no kernel;
 * not for several threads, but for {@link #isExempt}.
 */
final class RuleTable {
    private final int flippedPortBits;
    private final ClusterIps clusterIps = new ClusterIps();
    private final RedirectExemptions exemptions = new RedirectExemptions();
    private ServiceSnapshot current = ServiceSnapshot.empty();

    /** What the service ports of two snapshots have different. */
    record RuleChanges(
            ServiceSnapshot to,
            List<ServicePort> before,
            List<ServicePort> after,
            Set<Element> gone,
            Set<Element> come) {
        /** The keys of frontends that are not there any more. */
        Set<String> goneFrontends() {
            Set<String> frontends = new HashSet<>();
            for (Element element : gone) {
                if (element.set().startsWith("front") && !come.contains(element)) {
                    frontends.add(element.key());
                }
            }
            return frontends;
        }
    }

    /** All that differs between two snapshots, and the commands for what is replaced as a whole. */
    record Change(Set<Element> gone, Set<Element> come, String ranges) {}

    RuleTable(int flippedPortBits) {
        this.flippedPortBits = flippedPortBits;
    }

    /** Any thread. */
    boolean isExempt(Endpoint endpoint) {
        return exemptions.includes(endpoint);
    }

    /** The kernel has the elements of this snapshot now; of the empty one where it is not known what it has. */
    void isNow(ServiceSnapshot snapshot) {
        current = snapshot;
    }

    /** What the snapshot wants beside the {@link #elements elements} of its service ports; begins from nothing. */
    Set<Element> beginWith(ServiceSnapshot snapshot, List<ServicePort> ports) {
        exemptions.clear();
        exemptions.change(List.of(), ports, snapshot.context().origins().node());
        clusterIps.clear();
        Set<Element> others = new LinkedHashSet<>(clusterIps
                .change(List.of(), Set.of(), ports, snapshot.context().unservedClusterIps())
                .come());
        others.addAll(context(snapshot));
        return others;
    }

    Set<Element> elements(List<ServicePort> ports) {
        Set<Element> elements = new LinkedHashSet<>();
        ports.forEach(port -> elements.addAll(SetElements.of(port, flippedPortBits)));
        return elements;
    }

    /** The service ports whose elements are not those of before. */
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

    /** @param isRejected which service ports the kernel has nothing of */
    RuleChanges difference(ServiceSnapshot snapshot, Predicate<ServicePort> isRejected) {
        SnapshotDiff diff = SnapshotDiff.between(current, snapshot);
        List<ServicePort> before = new ArrayList<>(diff.removed());
        List<ServicePort> after = new ArrayList<>(diff.added());
        diff.changed().forEach(change -> {
            before.add(change.before());
            after.add(change.after());
        });
        Set<Element> gone = elements(before.stream().filter(isRejected.negate()).toList());
        return new RuleChanges(snapshot, before, after, gone, elements(after));
    }

    /** Counts a difference in; what both sides have is left out. */
    Change change(RuleChanges difference) {
        ServiceSnapshot snapshot = difference.to();
        exemptions.change(
                difference.before(),
                difference.after(),
                snapshot.context().origins().node());
        ClusterIps.Change clusters = clusterIps.change(
                difference.before(),
                current.context().unservedClusterIps(),
                difference.after(),
                snapshot.context().unservedClusterIps());
        Set<Element> gone = new LinkedHashSet<>(difference.gone());
        Set<Element> come = new LinkedHashSet<>(difference.come());
        gone.addAll(clusters.gone());
        come.addAll(clusters.come());
        Set<Element> unchanged = new LinkedHashSet<>(gone);
        unchanged.retainAll(come);
        gone.removeAll(unchanged);
        come.removeAll(unchanged);
        return new Change(gone, come, surroundingsIfChanged(snapshot));
    }

    private String surroundingsIfChanged(ServiceSnapshot snapshot) {
        if (snapshot.context().origins().equals(current.context().origins())
                && snapshot.context().serviceCidrs().equals(current.context().serviceCidrs())
                && snapshot.context().nodePortRanges().equals(current.context().nodePortRanges())) {
            return "";
        }
        StringBuilder script = new StringBuilder();
        for (String set : NftScript.RANGES) {
            script.append(NftScript.flush(set + "4")).append(NftScript.flush(set + "6"));
        }
        return script.append(NftScript.add(context(snapshot))).toString();
    }

    private static Set<Element> context(ServiceSnapshot snapshot) {
        Set<Element> elements = new LinkedHashSet<>();
        Origins origins = snapshot.context().origins();
        for (Cidr range : origins.pods()) {
            elements.add(new Element("pods" + SetElements.family(range.network()), range.toString(), ""));
        }
        for (Cidr range : snapshot.context().serviceCidrs()) {
            elements.add(new Element("range" + SetElements.family(range.network()), range.toString(), ""));
        }
        for (Cidr range : snapshot.context().nodePortRanges()) {
            elements.add(new Element("node-port-address" + SetElements.family(range.network()), range.toString(), ""));
        }
        return elements;
    }
}
