package io.sluice.socketlb;

import io.sluice.socketlb.ForwarderView.Traffic;
import io.sluice.socketlb.MapFormat.Pair;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.function.Predicate;

/** Turns the totals that the programs count into differences, and removes those of endpoints that are gone. */
final class TrafficReader {
    private final BpfMap traffic;
    private final Map<Pair, Totals> known = new HashMap<>();
    private boolean first = true;

    private record Totals(long opened, long closed, long refused, long silent) {
        long active() {
            return opened - closed;
        }
    }

    TrafficReader(BpfMap traffic) {
        this.traffic = traffic;
    }

    /**
     * Reads the totals. The first time, only open connections count: what an earlier process has counted is not counted
     * again.
     *
     * @param isPresent whether connections to a frontend can get an endpoint
     * @param onChange receives the differences from the last time
     */
    void read(Predicate<Pair> isPresent, BiConsumer<Pair, Traffic> onChange) throws BpfException {
        Set<Pair> gone = new HashSet<>();
        traffic.forEach((key, values) -> {
            Pair pair = Pair.of(ByteBuffer.wrap(key), 0);
            Totals now = sum(values);
            Totals before = known.put(pair, now);
            if (before == null) {
                before = first ? new Totals(now.opened, now.opened, now.refused, now.silent) : new Totals(0, 0, 0, 0);
            }
            if (!now.equals(before)) {
                onChange.accept(
                        pair,
                        new Traffic(
                                now.opened - before.opened,
                                now.active() - before.active(),
                                now.refused - before.refused,
                                now.silent - before.silent));
            } else if (now.active() == 0 && !isPresent.test(pair)) {
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
        return known.values().stream().mapToLong(Totals::active).sum();
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
