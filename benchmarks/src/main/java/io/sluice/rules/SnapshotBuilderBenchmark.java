package io.sluice.rules;

import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SnapshotDiff;
import io.sluice.rules.ObjectStore.SourceState;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/**
 * Measures building a snapshot and its difference from objects, with five endpoints per Service. The time for a change
 * of one slice should not depend on the number of Services; the result includes percentiles.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.SampleTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(value = 1, jvmArgsAppend = "-Xmx4g")
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 3, time = 1)
@SuppressWarnings("NullAway.Init") // JMH calls the @Setup method first
public class SnapshotBuilderBenchmark {
    @Param({"100", "1000", "10000", "50000"})
    int services;

    private final SourceState[] zones = {BigCluster.node(BigCluster.zone(0)), BigCluster.node(BigCluster.zone(1))};
    private final Map<String, SourceState> all = new LinkedHashMap<>();
    /** States of Services of each type, first with one endpoint more, then without it. */
    private final SourceState[] changes = new SourceState[16];

    private ObjectStore store;
    private SnapshotBuilder builder;
    private ServiceSnapshot current;
    private int change = -1;

    @Setup
    public void fill() {
        all.put("node", zones[0]);
        for (int i = 0; i < services; i++) {
            all.put(BigCluster.source(i), BigCluster.state(i, BigCluster.ENDPOINTS_OF_EACH));
        }
        for (int i = 0; i < changes.length; i++) {
            changes[i] = BigCluster.state(changed(i), BigCluster.ENDPOINTS_OF_EACH + 1 - i / 8);
        }
        current = build();
    }

    /**
     * The Service of a change: cycles through the types and skips Services with zone hints, whose snapshot might not
     * change.
     */
    private int changed(int change) {
        int service = services / 2 + change % 8;
        return service % 5 == 0 ? service + 8 : service;
    }

    private ServiceSnapshot build() {
        ProblemTracker problems = new ProblemTracker();
        store = new ObjectStore(problems);
        builder = new SnapshotBuilder(BigCluster.options(), store, problems);
        all.forEach(store::replace);
        return builder.build();
    }

    private SnapshotDiff next() {
        ServiceSnapshot before = current;
        current = builder.build();
        SnapshotDiff diff = SnapshotDiff.between(before, current);
        if (diff.isEmpty()) {
            throw new IllegalStateException("nothing changed");
        }
        return diff;
    }

    @Benchmark
    public SnapshotDiff oneSlice() {
        change = (change + 1) % changes.length;
        store.replace(BigCluster.source(changed(change)), changes[change]);
        return next();
    }

    /** All Services are re-evaluated; those with hints change. */
    @Benchmark
    public SnapshotDiff zoneOfTheNode() {
        change = (change + 1) % zones.length;
        store.replace("node", zones[1 - change]);
        return next();
    }

    @Benchmark
    @BenchmarkMode(Mode.SingleShotTime)
    @Warmup(iterations = 1)
    @Measurement(iterations = 5)
    @OutputTimeUnit(TimeUnit.MILLISECONDS)
    public ServiceSnapshot everything() {
        return build();
    }
}
