package io.sluice.model;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
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
 * Measures changing one service port of a snapshot and computing the difference. The time should not depend on the
 * size.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 3, time = 1)
@SuppressWarnings("NullAway.Init") // JMH calls the @Setup method first
public class SnapshotBenchmark {
    private static final int ENDPOINTS = 10;

    @Param({"100", "10000", "50000"})
    int servicePorts;

    private ServiceSnapshot current;
    private List<ServicePort> change;
    private List<ServicePort> changeBack;

    @Setup
    public void fill() {
        List<ServicePort> all = new ArrayList<>(servicePorts);
        for (int i = 0; i < servicePorts; i++) {
            all.add(servicePort(i, ENDPOINTS));
        }
        current = ServiceSnapshot.empty().with(all, List.of());
        int one = servicePorts / 2;
        change = List.of(servicePort(one, ENDPOINTS + 1));
        changeBack = List.of(all.get(one));
    }

    /** Creates a service port with a frontend on a loopback address. Without endpoints, the frontend rejects. */
    public static ServicePort servicePort(int index, int endpoints) {
        List<Endpoint> list = IntStream.range(0, endpoints)
                .mapToObj(i -> new Endpoint(IpAddress.v4(0x0a000000 + index * 16 + i), 8080))
                .toList();
        FrontendAddress address = new FrontendAddress(Protocol.TCP, IpAddress.v4(0x7f200000 + index), 18_080);
        return new ServicePort(
                new ServicePortName("bench", "service-" + index, "http", Protocol.TCP),
                SessionAffinity.NONE,
                Set.of(),
                List.of(Frontend.of(address, list.isEmpty() ? Route.REJECT : Route.forward(list, Route.Source.NODE))));
    }

    @Benchmark
    public SnapshotDiff changeOne() {
        ServiceSnapshot before = current;
        current = before.with(change, List.of());
        List<ServicePort> next = changeBack;
        changeBack = change;
        change = next;
        return SnapshotDiff.between(before, current);
    }
}
