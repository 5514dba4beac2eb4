package io.sluice.stats;

import io.sluice.model.ServicePortName;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.function.ToLongFunction;
import org.jspecify.annotations.Nullable;

/** The counters and histograms of one service port, over all event loops. */
public final class ServiceStats {
    private final ServicePortName name;
    private final Stats owner;
    private final AtomicReferenceArray<@Nullable CounterCells> perLoop;

    ServiceStats(ServicePortName name, Stats owner, int loops) {
        this.name = name;
        this.owner = owner;
        this.perLoop = new AtomicReferenceArray<>(loops);
    }

    /** The name of the service port. */
    public ServicePortName name() {
        return name;
    }

    /** The number of event loops. */
    public int loops() {
        return perLoop.length();
    }

    /**
     * The counter cells of a loop, allocated on first use so that an idle service port takes no memory. Must be called
     * only from that loop.
     */
    public CounterCells cells(int loop) {
        CounterCells cells = perLoop.get(loop);
        if (cells == null) {
            cells = new CounterCells();
            perLoop.set(loop, cells);
        }
        return cells;
    }

    /**
     * Records a time for this service port and for the whole process; a negative time counts as zero. Must be called
     * only from the given loop.
     */
    public void record(int loop, Timing timing, long nanos) {
        long time = Math.max(0, nanos);
        owner.total().record(timing, time);
        cells(loop).record(timing, time);
    }

    /** The value of a counter, summed over all loops. */
    public long get(Counter counter) {
        return sum(cells -> cells.get(counter));
    }

    /** TCP connections reset before an endpoint accepted them, for any reason. */
    public long rejectedSessions() {
        long sum = 0;
        for (Counter counter : Counter.REJECTED_SESSIONS) {
            sum += get(counter);
        }
        return sum;
    }

    /** The number of recorded times in a {@linkplain Buckets bucket}. */
    public long count(Timing timing, int bucket) {
        return sum(cells -> cells.count(timing, bucket));
    }

    /** The sum of all recorded times, in nanoseconds. */
    public long sumNanos(Timing timing) {
        return sum(cells -> cells.sumNanos(timing));
    }

    private long sum(ToLongFunction<CounterCells> value) {
        long sum = 0;
        for (int i = 0; i < perLoop.length(); i++) {
            CounterCells cells = perLoop.get(i);
            sum += cells == null ? 0 : value.applyAsLong(cells);
        }
        return sum;
    }

    /** Whether any counter is nonzero. */
    public boolean hadTraffic() {
        return sum(cells -> cells.allZero() ? 0 : 1) > 0;
    }

    /** Whether any time has been recorded. */
    public boolean hasTimes() {
        return sum(cells -> cells.hasTimes() ? 1 : 0) > 0;
    }
}
