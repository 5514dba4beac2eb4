package io.sluice.ops;

import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SnapshotDiff;
import io.sluice.ops.ServiceChange.Kind;
import io.sluice.ops.ServiceChange.PortChange;
import java.time.Clock;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Finds the Services that an applied snapshot changed and passes them to the {@link StateChangeLog}, which logs them.
 * The first snapshot is not a change. The cost depends only on the number of changed service ports. Used on the control
 * thread only.
 */
public final class ChangeLog {
    private final StateChangeLog log;
    private final Clock clock;
    private @Nullable ServiceSnapshot applied;

    /**
     * The number of ports of each Service, which shows whether a port was added to a Service or with it. A snapshot
     * cannot be searched by Service.
     */
    private final Map<Service, Integer> portCounts = new HashMap<>();

    /** A name that shares its strings with the snapshot. */
    private record Service(String namespace, String name) {
        static Service of(ServicePort port) {
            ServicePortName name = port.name();
            return new Service(name.namespace(), name.service());
        }

        @Override
        public String toString() {
            return namespace + "/" + name;
        }
    }

    /** Creates a change log that has not seen a snapshot. */
    public ChangeLog(StateChangeLog log, Clock clock) {
        this.log = log;
        this.clock = clock;
    }

    /** Records that a snapshot has been applied. */
    public void applied(ServiceSnapshot snapshot) {
        ServiceSnapshot before = applied;
        applied = snapshot;
        if (before == null) {
            snapshot.forEach(port -> count(port, 1));
            log.synced();
            return;
        }
        SnapshotDiff diff = SnapshotDiff.between(before, snapshot);
        Map<Service, List<PortChange>> changed = new HashMap<>();
        diff.removed().forEach(port -> add(changed, port, new PortChange(port, null)));
        diff.added().forEach(port -> add(changed, port, new PortChange(null, port)));
        diff.changed().forEach(port -> add(changed, port.after(), new PortChange(port.before(), port.after())));
        Map<Service, Boolean> isNew = new HashMap<>();
        diff.added().forEach(port -> isNew.computeIfAbsent(Service.of(port), name -> !portCounts.containsKey(name)));
        diff.removed().forEach(port -> count(port, -1));
        diff.added().forEach(port -> count(port, 1));
        Instant now = clock.instant();
        List<ServiceChange> changes = new ArrayList<>(changed.size());
        changed.forEach((service, ports) -> {
            Kind kind = !portCounts.containsKey(service)
                    ? Kind.REMOVED
                    : isNew.getOrDefault(service, false) ? Kind.ADDED : Kind.CHANGED;
            changes.add(new ServiceChange(service.toString(), now, kind, ports));
        });
        changes.sort(Comparator.comparing(ServiceChange::service));
        log.services(changes);
    }

    private static void add(Map<Service, List<PortChange>> changed, ServicePort port, PortChange change) {
        changed.computeIfAbsent(Service.of(port), name -> new ArrayList<>(2)).add(change);
    }

    private void count(ServicePort port, int difference) {
        portCounts.merge(Service.of(port), difference, (a, b) -> a + b == 0 ? null : a + b);
    }
}
