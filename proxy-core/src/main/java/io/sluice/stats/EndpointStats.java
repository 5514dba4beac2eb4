package io.sluice.stats;

import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;

/** The counters of one endpoint of a service port, over all event loops. Thread-safe unless stated otherwise. */
public final class EndpointStats {
    /** Counters of an endpoint that has never been used. */
    public static final EndpointStats NONE = new EndpointStats(0);

    private static final double MILLIS_PER_SECOND = 1e3;

    private final AtomicReferenceArray<@Nullable EndpointCells> perLoop;

    /** Creates counters that are zero. */
    public EndpointStats(int loops) {
        perLoop = new AtomicReferenceArray<>(loops);
    }

    /** The cells of a loop, allocated on first use. Must be called only from that loop. */
    public EndpointCells cells(int loop) {
        EndpointCells cells = perLoop.get(loop);
        if (cells == null) {
            cells = new EndpointCells();
            perLoop.set(loop, cells);
        }
        return cells;
    }

    private long sum(int at) {
        long sum = 0;
        for (int i = 0; i < perLoop.length(); i++) {
            EndpointCells cells = perLoop.get(i);
            sum += cells == null ? 0 : cells.get(at);
        }
        return sum;
    }

    /** The number of connections and flows that were opened. */
    public long opened() {
        return sum(EndpointCells.OPENED);
    }

    /** The number of open connections and flows. */
    public long active() {
        return sum(EndpointCells.ACTIVE);
    }

    /** The number of failed attempts. */
    public long failed() {
        return sum(EndpointCells.FAILED);
    }

    /** The number of bytes sent to the endpoint. */
    public long bytesToEndpoint() {
        return sum(EndpointCells.BYTES_TO_ENDPOINT);
    }

    /** The number of bytes received from the endpoint. */
    public long bytesToClient() {
        return sum(EndpointCells.BYTES_TO_CLIENT);
    }

    /**
     * A percentile of the connect times in milliseconds, interpolated within its {@linkplain Buckets bucket}; negative if
     * no connection was established.
     */
    public double connectMillis(double percentile) {
        long[] counts = new long[Buckets.count()];
        long total = 0;
        for (int bucket = 0; bucket < counts.length; bucket++) {
            counts[bucket] = sum(EndpointCells.CONNECT + bucket);
            total += counts[bucket];
        }
        if (total == 0) {
            return -1;
        }
        double rank = total * percentile / 100;
        long before = 0;
        for (int bucket = 0; bucket < counts.length - 1; bucket++) {
            if (counts[bucket] > 0 && before + counts[bucket] >= rank) {
                double low = bucket == 0 ? 0 : Buckets.boundSeconds(bucket - 1);
                double share = Math.max(0, rank - before) / counts[bucket];
                return (low + (Buckets.boundSeconds(bucket) - low) * share) * MILLIS_PER_SECOND;
            }
            before += counts[bucket];
        }
        return Buckets.boundSeconds(counts.length - 2) * MILLIS_PER_SECOND;
    }
}
