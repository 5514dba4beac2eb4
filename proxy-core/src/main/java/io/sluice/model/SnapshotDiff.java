package io.sluice.model;

import java.util.ArrayList;
import java.util.List;

/**
 * The differences between two snapshots by service port. A change that was made and reverted between the two snapshots
 * does not appear.
 */
public record SnapshotDiff(List<ServicePort> removed, List<ServicePort> added, List<Change> changed) {

    /** A service port before and after a change; the two are never equal. */
    public record Change(ServicePort before, ServicePort after) {}

    /** Returns the differences between two snapshots. Skips the buckets that the snapshots share. */
    public static SnapshotDiff between(ServiceSnapshot before, ServiceSnapshot after) {
        List<ServicePort> removed = new ArrayList<>();
        List<ServicePort> added = new ArrayList<>();
        List<Change> changed = new ArrayList<>();
        ServicePort[][] old = before.buckets();
        ServicePort[][] now = after.buckets();
        for (int i = 0; i < old.length; i++) {
            if (old[i] != now[i]) {
                compare(old[i], now[i], removed, added, changed);
            }
        }
        return new SnapshotDiff(removed, added, changed);
    }

    private static void compare(
            ServicePort[] old,
            ServicePort[] now,
            List<ServicePort> removed,
            List<ServicePort> added,
            List<Change> changed) {
        for (ServicePort was : old) {
            int at = ServiceSnapshot.indexIn(now, was.name());
            if (at < 0) {
                removed.add(was);
            } else if (!now[at].equals(was)) {
                changed.add(new Change(was, now[at]));
            }
        }
        for (ServicePort is : now) {
            if (ServiceSnapshot.indexIn(old, is.name()) < 0) {
                added.add(is);
            }
        }
    }

    /** Whether both snapshots contain equal service ports. Their contexts are not compared. */
    public boolean isEmpty() {
        return removed.isEmpty() && added.isEmpty() && changed.isEmpty();
    }
}
