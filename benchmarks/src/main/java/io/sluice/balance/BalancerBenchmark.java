package io.sluice.balance;

import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Origin;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.SessionAffinity;
import io.sluice.model.TrafficPolicy;
import io.sluice.model.TrafficPolicy.Algorithm;
import io.sluice.model.TrafficPolicy.Balancing;
import io.sluice.model.TrafficPolicy.Preference;
import io.sluice.stats.Stats;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
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
 * Measures how long choosing the endpoint of a new connection takes, with each algorithm and with ClientIP session
 * affinity. All threads share one service, as the event loops do; the option {@code -t} sets their number.
 */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(1)
@Threads(1)
@Warmup(iterations = 2, time = 500, timeUnit = TimeUnit.MILLISECONDS)
@Measurement(iterations = 3, time = 500, timeUnit = TimeUnit.MILLISECONDS)
public class BalancerBenchmark {
    private static final int KNOWN_CLIENTS = 1024;
    private static final long SLOW_START_NANOS = 1_000_000_000;
    private static final long NOW_NANOS = SLOW_START_NANOS / 2;

    private static IpAddress[] clients() {
        return IntStream.range(0, KNOWN_CLIENTS).mapToObj(IpAddress::v4).toArray(IpAddress[]::new);
    }

    private static FrontendRouting routing(int endpoints, Choice choice) {
        List<Endpoint> all = IntStream.range(0, endpoints)
                .mapToObj(i -> new Endpoint(IpAddress.v4(0x0a000000 + i), 8080))
                .toList();
        Set<Endpoint> preferred = choice == Choice.PREFER ? new HashSet<>(all.subList(0, endpoints / 3)) : Set.of();
        TrafficPolicy policy = new TrafficPolicy(
                choice.balancing(),
                TrafficPolicy.DEFAULT.limits(),
                TrafficPolicy.DEFAULT.timeouts(),
                TrafficPolicy.DEFAULT.proxyProtocol(),
                TrafficPolicy.DEFAULT.lifetime(),
                List.of(),
                true);
        ServicePortName name = new ServicePortName("bench", "web", "", Protocol.TCP);
        ServiceState state = new ServiceState(new Stats(1).open(name), new AffinityTable(), change -> {});
        FrontendRouting routing = null;
        // A third of the endpoints is new in the second version, for slow start.
        for (List<Endpoint> listed : List.of(all.subList(endpoints / 3, endpoints), all)) {
            ServicePort port = new ServicePort(
                    name,
                    new SessionAffinity(SessionAffinity.DEFAULT_TIMEOUT_SECONDS),
                    policy,
                    Set.of(),
                    preferred,
                    List.of(Frontend.of(
                            new FrontendAddress(Protocol.TCP, IpAddress.v4(0x0a600001), 80),
                            Route.forward(listed, Route.Source.NODE))));
            routing = state.update(port, client -> Origin.EXTERNAL, Map.of(), 0).get(0);
        }
        return Objects.requireNonNull(routing);
    }

    /** What the Service asks for. */
    public enum Choice {
        ROUND_ROBIN(Algorithm.ROUND_ROBIN, 0),
        SLOW_START(Algorithm.ROUND_ROBIN, SLOW_START_NANOS),
        LEAST_CONNECTIONS(Algorithm.LEAST_CONNECTIONS, 0),
        MAGLEV(Algorithm.MAGLEV, 0),
        /** A third of the endpoints is preferred. */
        PREFER(Algorithm.ROUND_ROBIN, 0);

        private final Algorithm algorithm;
        private final long slowStartNanos;

        Choice(Algorithm algorithm, long slowStartNanos) {
            this.algorithm = algorithm;
            this.slowStartNanos = slowStartNanos;
        }

        Balancing balancing() {
            return new Balancing(algorithm, slowStartNanos, Preference.NONE, 3, 1, 0);
        }
    }

    /** A service with a balancer. */
    @State(Scope.Benchmark)
    @SuppressWarnings("NullAway.Init") // JMH calls the @Setup method first
    public static class Service {
        @Param({"3", "16", "100", "1000"})
        int endpoints;

        @Param
        Choice choice;

        private final IpAddress[] clients = clients();
        private Balancer balancer;

        @Setup
        public void create() {
            balancer = Objects.requireNonNull(routing(endpoints, choice).external());
        }
    }

    /** A service with an affinity entry for each known client. */
    @State(Scope.Benchmark)
    @SuppressWarnings("NullAway.Init") // JMH calls the @Setup method first
    public static class StickyService {
        @Param({"1", "1000"})
        int endpoints;

        private FrontendRouting routing;
        private Balancer balancer;

        @Setup
        public void fill() {
            routing = routing(endpoints, Choice.ROUND_ROBIN);
            balancer = Objects.requireNonNull(routing.external());
            for (int client = 0; client < KNOWN_CLIENTS; client++) {
                pick(client);
            }
        }

        @Nullable
        EndpointTarget pick(int client) {
            return routing.pick(IpAddress.v4(client), balancer, NOW_NANOS);
        }
    }

    @Benchmark
    public @Nullable Object pick(Service state) {
        IpAddress client = state.clients[ThreadLocalRandom.current().nextInt(KNOWN_CLIENTS)];
        return state.balancer.pick(client, List.of(), NOW_NANOS);
    }

    @Benchmark
    public @Nullable Object affinityHit(StickyService state) {
        return state.pick(ThreadLocalRandom.current().nextInt(KNOWN_CLIENTS));
    }

    /**
     * A new client in all but about one of 10,000 calls. Most of the time the table is full, so an older entry is
     * evicted.
     */
    @Benchmark
    public @Nullable Object affinityMiss(StickyService state) {
        return state.pick(ThreadLocalRandom.current().nextInt());
    }
}
