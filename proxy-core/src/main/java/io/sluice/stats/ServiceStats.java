package io.sluice.stats;

import io.sluice.model.ServicePortName;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;

/** The counters of one service port, and its histograms once it has traffic. */
public final class ServiceStats {
    private final ServicePortName name;
    private final Stats owner;
    private final AtomicReferenceArray<@Nullable Cells> perLoop;
    private volatile @Nullable Timings timings;

    ServiceStats(ServicePortName name, Stats owner, int loops) {
        this.name = name;
        this.owner = owner;
        this.perLoop = new AtomicReferenceArray<>(loops);
    }

    public ServicePortName name() {
        return name;
    }

    /** The cells of one loop, made at its first use: an idle service costs no counters. Called by that loop. */
    public Cells cells(int loop) {
        Cells cells = perLoop.get(loop);
        if (cells == null) {
            cells = new Cells();
            perLoop.set(loop, cells);
        }
        return cells;
    }

    /** Records for the daemon as a whole and for this service port. Any loop. */
    public void record(Timing timing, long nanos, long nowNanos) {
        owner.total().record(timing, nanos, nowNanos);
        Timings own = timings;
        if (own == null) {
            own = owner.admit(this, nowNanos);
        }
        own.record(timing, nanos, nowNanos);
    }

    /** The sum over all loops. */
    public long get(Counter counter) {
        long sum = 0;
        for (int i = 0; i < perLoop.length(); i++) {
            Cells cells = perLoop.get(i);
            sum += cells == null ? 0 : cells.get(counter);
        }
        return sum;
    }

    /** Whether anything was counted yet. */
    public boolean hadTraffic() {
        for (int i = 0; i < perLoop.length(); i++) {
            Cells cells = perLoop.get(i);
            if (cells != null && !cells.allZero()) {
                return true;
            }
        }
        return false;
    }

    /** Null before the first connection, and after a long silence while many other services were busy. */
    public @Nullable Timings timings() {
        return timings;
    }

    void timings(@Nullable Timings next) {
        timings = next;
    }
}
