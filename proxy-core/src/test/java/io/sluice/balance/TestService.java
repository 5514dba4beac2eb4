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
import io.sluice.model.TrafficPolicy.Limits;
import io.sluice.model.TrafficPolicy.Preference;
import io.sluice.stats.Stats;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/** A service port with one frontend, and a clock that tests can advance. Starts with round robin over no endpoints. */
final class TestService {
    static final IpAddress CLIENT = IpAddress.v4(0x0a010001);
    private static final ServicePortName NAME = new ServicePortName("test", "web", "", Protocol.TCP);

    final List<EndpointChange> changes = new CopyOnWriteArrayList<>();
    final ServiceState state = new ServiceState(new Stats(1).open(NAME), new AffinityTable(), changes::add);
    final Map<Endpoint, OutOfUse> takenOut = new HashMap<>();
    long nowNanos = 1_000;

    private Algorithm algorithm = Algorithm.ROUND_ROBIN;
    private long slowStartNanos;
    private int ejectAfter = 3;
    private long ejectForNanos = TimeUnit.SECONDS.toNanos(10);
    private int maxPerEndpoint;
    private Set<Endpoint> preferred = Set.of();
    private volatile @Nullable Balancer balancer;

    static TestService of(Endpoint... endpoints) {
        TestService service = new TestService();
        service.update(List.of(endpoints));
        return service;
    }

    /** Endpoints 10.0.0.N:80. */
    static List<Endpoint> endpoints(int... numbers) {
        return IntStream.of(numbers).mapToObj(TestService::endpoint).toList();
    }

    /** The endpoint 10.0.0.N:80. */
    static Endpoint endpoint(int number) {
        return new Endpoint(IpAddress.v4(0x0a000000 + number), 80);
    }

    /** The first endpoints, from number 0 on. */
    static List<Endpoint> firstEndpoints(int count) {
        return endpoints(IntStream.range(0, count).toArray());
    }

    TestService with(Algorithm newAlgorithm) {
        algorithm = newAlgorithm;
        return this;
    }

    TestService withSlowStart(long nanos) {
        slowStartNanos = nanos;
        return this;
    }

    TestService withEjection(int after, long forNanos) {
        ejectAfter = after;
        ejectForNanos = forNanos;
        return this;
    }

    TestService withMaxPerEndpoint(int max) {
        maxPerEndpoint = max;
        return this;
    }

    TestService preferring(List<Endpoint> endpoints) {
        preferred = Set.copyOf(endpoints);
        return this;
    }

    /** Applies a new version with these endpoints; null if there are none. */
    @Nullable
    Balancer update(List<Endpoint> endpoints) {
        return update(endpoints, endpoints);
    }

    /** Applies a new version with these endpoints for clients on this node and all others. */
    @Nullable
    Balancer update(List<Endpoint> forNode, List<Endpoint> forOthers) {
        Route route = route(forOthers);
        Frontend frontend = new Frontend(
                Frontend.Kind.CLUSTER_IP,
                new FrontendAddress(Protocol.TCP, IpAddress.v4(0x0a600001), 80),
                route,
                route(forNode),
                route,
                List.of());
        Balancing balancing = new Balancing(algorithm, slowStartNanos, Preference.NONE, ejectAfter, ejectForNanos, 0);
        TrafficPolicy policy = new TrafficPolicy(
                balancing,
                new Limits(0, 0, maxPerEndpoint, 0, 0),
                TrafficPolicy.DEFAULT.timeouts(),
                TrafficPolicy.DEFAULT.proxyProtocol(),
                TrafficPolicy.DEFAULT.lifetime(),
                List.of(),
                true);
        ServicePort port = new ServicePort(NAME, SessionAffinity.NONE, policy, Set.of(), preferred, List.of(frontend));
        balancer = state.update(port, client -> Origin.EXTERNAL, takenOut, nowNanos)
                .get(0)
                .external();
        return balancer;
    }

    private static Route route(List<Endpoint> endpoints) {
        return endpoints.isEmpty() ? Route.REJECT : Route.forward(endpoints, Route.Source.NODE);
    }

    Balancer balancer() {
        return Objects.requireNonNull(balancer);
    }

    EndpointTarget target(Endpoint endpoint) {
        return Objects.requireNonNull(balancer().find(endpoint));
    }

    EndpointTarget target(int number) {
        return target(endpoint(number));
    }

    EndpointTarget pick() {
        return Objects.requireNonNull(balancer().pick(CLIENT, List.of(), nowNanos));
    }

    Endpoint next() {
        return pick().endpoint;
    }

    List<Endpoint> next(int count) {
        List<Endpoint> picked = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            picked.add(next());
        }
        return picked;
    }

    /** How often each endpoint is among the next picks. */
    Map<Endpoint, Integer> counts(int picks) {
        Map<Endpoint, Integer> counts = new HashMap<>();
        next(picks).forEach(endpoint -> counts.merge(endpoint, 1, Integer::sum));
        return counts;
    }

    void advance(long seconds) {
        nowNanos += TimeUnit.SECONDS.toNanos(seconds);
    }
}
