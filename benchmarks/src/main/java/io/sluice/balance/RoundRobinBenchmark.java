package io.sluice.balance;

import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
import io.sluice.model.SessionAffinity;
import io.sluice.stats.Stats;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
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
import org.openjdk.jmh.annotations.Threads;
import org.openjdk.jmh.annotations.Warmup;

/**
 * Measures how long choosing the endpoint of a new connection takes, with round robin and with ClientIP session
 * affinity. All threads share one service, as the event loops do; the nested classes set the number of threads.
 */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(1)
@Warmup(iterations = 2, time = 500, timeUnit = TimeUnit.MILLISECONDS)
@Measurement(iterations = 3, time = 500, timeUnit = TimeUnit.MILLISECONDS)
public abstract class RoundRobinBenchmark {
    private static final int KNOWN_CLIENTS = 1024;
    private static final long NOW_NANOS = 0;
    private static final IpAddress CLIENT = IpAddress.v4(0x0a010001);

    /** A service with a list of endpoints and an affinity entry for each known client. */
    @State(Scope.Benchmark)
    @SuppressWarnings("NullAway.Init") // JMH calls the @Setup method first
    public static class Service {
        @Param({"1", "10", "1000"})
        int endpoints;

        private final AffinityTable table = new AffinityTable();
        private final SessionAffinity affinity = new SessionAffinity(SessionAffinity.DEFAULT_TIMEOUT_SECONDS);
        private final ServiceState service = new ServiceState(
                new Stats(1).open(new ServicePortName("bench", "sticky", "", Protocol.TCP)), table, change -> {});
        private RoundRobin roundRobin;

        @Setup
        public void fill() {
            List<Endpoint> list = IntStream.range(0, endpoints)
                    .mapToObj(i -> new Endpoint(IpAddress.v4(0x0a000000 + i), 8080))
                    .toList();
            roundRobin = RoundRobin.of(list, List.of(), service::newTarget);
            for (int client = 0; client < KNOWN_CLIENTS; client++) {
                pick(client);
            }
        }

        @Nullable
        EndpointTarget pick(int client) {
            return table.pick(service, affinity, IpAddress.v4(client), roundRobin, NOW_NANOS);
        }
    }

    @Threads(1)
    public static class OneThread extends RoundRobinBenchmark {}

    @Threads(2)
    public static class TwoThreads extends RoundRobinBenchmark {}

    @Threads(4)
    public static class FourThreads extends RoundRobinBenchmark {}

    @Threads(8)
    public static class EightThreads extends RoundRobinBenchmark {}

    @Benchmark
    public @Nullable Object next(Service state) {
        return state.roundRobin.pick(CLIENT, List.of(), NOW_NANOS);
    }

    @Benchmark
    public @Nullable Object affinityHit(Service state) {
        return state.pick(ThreadLocalRandom.current().nextInt(KNOWN_CLIENTS));
    }

    /**
     * A new client in all but about one of 10,000 calls. Most of the time the table is full, so an older entry is
     * evicted.
     */
    @Benchmark
    public @Nullable Object affinityMiss(Service state) {
        return state.pick(ThreadLocalRandom.current().nextInt());
    }
}
