package io.sluice.socketlb;

import io.sluice.model.FrontendAddress;
import io.sluice.model.ServicePortName;
import io.sluice.socketlb.ForwarderView.Traffic;
import io.sluice.socketlb.MapFormat.Pair;
import io.sluice.socketlb.RedirectedServices.Owner;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/** Turns the totals that the programs count into differences, and removes those of endpoints that are gone. */
final class TrafficReader {
    private static final Traffic NO_CHANGE = new Traffic(0, 0, 0, 0);

    private final BpfMap traffic;
    private final Map<Pair, Known> known = new HashMap<>();
    private boolean first = true;

    /** @param owner the owner to which the connections were counted; null if there was none */
    private record Known(Totals totals, @Nullable Owner owner) {}

    private record Totals(long opened, long closed, long refused, long silent) {
        private static final Totals NONE = new Totals(0, 0, 0, 0);

        long active() {
            return opened - closed;
        }
    }

    /** Receives the traffic of an endpoint since the last time. */
    interface OnChange {
        void changed(ServicePortName name, Pair pair, Traffic change);
    }

    TrafficReader(BpfMap traffic) {
        this.traffic = traffic;
    }

    /**
     * Reads the totals. The first time, only open connections count: what an earlier process has counted is not counted
     * again. The same is true of a frontend with another owner than before.
     *
     * @param isPresent whether connections to a frontend can get an endpoint
     * @param ownerOf the service port of a frontend, if there is one
     * @param onChange receives the differences from the last time
     */
    void read(Predicate<Pair> isPresent, Function<FrontendAddress, @Nullable Owner> ownerOf, OnChange onChange)
            throws BpfException {
        Set<Pair> gone = new HashSet<>();
        traffic.forEach((key, values) -> {
            Pair pair = Pair.of(ByteBuffer.wrap(key), 0);
            Totals now = sum(values);
            Owner owner = ownerOf.apply(pair.frontend());
            Known last = known.put(pair, new Known(now, owner));
            Totals before = last == null ? (first ? now : Totals.NONE) : last.totals;
            boolean isNewOwner = last == null ? first : !Objects.equals(last.owner, owner);
            Traffic change = new Traffic(
                    now.opened - before.opened,
                    isNewOwner ? now.active() : now.active() - before.active(),
                    now.refused - before.refused,
                    now.silent - before.silent);
            if (owner != null && !change.equals(NO_CHANGE)) {
                onChange.changed(owner.name(), pair, change);
            }
            if (now.equals(before) && now.active() == 0 && !isPresent.test(pair)) {
                gone.add(pair);
            }
        });
        first = false;
        for (Pair pair : gone) {
            known.remove(pair);
            traffic.remove(pair.toBytes());
        }
    }

    /** The number of open connections when the totals were last read. */
    long active() {
        return known.values().stream().mapToLong(each -> each.totals.active()).sum();
    }

    private static Totals sum(ByteBuffer values) {
        long opened = 0;
        long closed = 0;
        long refused = 0;
        long silent = 0;
        for (int at = 0; at < values.limit(); at += MapFormat.TRAFFIC) {
            opened += values.getLong(at);
            closed += values.getLong(at + 8);
            refused += values.getLong(at + 16);
            silent += values.getLong(at + 24);
        }
        return new Totals(opened, closed, refused, silent);
    }
}
