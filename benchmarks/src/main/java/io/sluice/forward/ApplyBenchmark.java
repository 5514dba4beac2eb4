package io.sluice.forward;

import io.sluice.model.ServicePort;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SnapshotBenchmark;
import java.io.IOException;
import java.util.List;
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
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Timeout;
import org.openjdk.jmh.annotations.Warmup;

/**
 * What it costs to put a snapshot in force in which one service port is different: to be the same however many there are.
 * A frontend that listens has a socket or two, so no more than 10,000 do, which takes 15,000 descriptors; those beyond
 * have no endpoints.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 3, time = 1)
@Timeout(time = 30)
@SuppressWarnings("NullAway.Init") // JMH calls the @Setup method first
public class ApplyBenchmark {
    private static final int ENDPOINTS = 10;

    private static final int MOST_LISTENING = 10_000;

    @Param({"100", "1000", "10000", "50000"})
    int servicePorts;

    private Forwarder forwarder;
    private ServiceSnapshot usual;
    private ServiceSnapshot oneEndpointMore;
    private ServiceSnapshot without;

    @Setup
    public void open() throws IOException {
        usual = ServiceSnapshot.of(IntStream.range(0, servicePorts)
                .mapToObj(i -> SnapshotBenchmark.servicePort(i, i < MOST_LISTENING ? ENDPOINTS : 0))
                .toArray(ServicePort[]::new));
        int one = Math.min(servicePorts, MOST_LISTENING) / 2;
        ServicePort more = SnapshotBenchmark.servicePort(one, ENDPOINTS + 1);
        oneEndpointMore = usual.with(List.of(more), List.of());
        without = usual.with(List.of(), List.of(more.name()));
        forwarder = new Forwarder(ForwarderConfig.defaults(), status -> {});
        forwarder.apply(usual);
        for (FrontendStatus status : forwarder.frontends()) {
            if (status.state() != FrontendStatus.State.ACTIVE) {
                throw new IOException(status.address() + ": " + status.reason());
            }
        }
    }

    @TearDown
    public void close() {
        forwarder.close();
    }

    /** Two changes an operation: there and back. */
    @Benchmark
    public void endpointComesAndGoes() {
        forwarder.apply(oneEndpointMore);
        forwarder.apply(usual);
    }

    /** Two changes an operation: its listening sockets are closed and opened again. */
    @Benchmark
    public void servicePortGoesAndComes() {
        forwarder.apply(without);
        forwarder.apply(usual);
    }
}
