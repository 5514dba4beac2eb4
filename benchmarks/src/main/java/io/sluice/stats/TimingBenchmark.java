package io.sluice.stats;

import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
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

/** Measures recording the three durations of a TCP connection, with connections spread over many services. */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(1)
@Warmup(iterations = 2, time = 500, timeUnit = TimeUnit.MILLISECONDS)
@Measurement(iterations = 3, time = 500, timeUnit = TimeUnit.MILLISECONDS)
@State(Scope.Thread)
@SuppressWarnings("NullAway.Init") // JMH calls the @Setup method first
public class TimingBenchmark {
    @Param({"100", "2000"})
    int services;

    private ServiceStats[] busy;
    private int next;

    @Setup
    public void open() {
        Stats stats = new Stats(1);
        busy = new ServiceStats[services];
        for (int i = 0; i < services; i++) {
            busy[i] = stats.open(new ServicePortName("bench", "s" + i, "", Protocol.TCP));
        }
    }

    @Benchmark
    public void connection() {
        ServiceStats service = busy[next];
        next = (next + 1) % services;
        service.record(0, Timing.CONNECT, 150_000 + next);
        service.record(0, Timing.FIRST_BYTE, 300_000 + next);
        service.record(0, Timing.SESSION, 1_000_000 + next);
    }
}
