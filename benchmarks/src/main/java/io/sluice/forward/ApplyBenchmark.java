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
 * Measures how long applying a snapshot takes in which one service port changed. The time should not depend on the
 * number of service ports. A listening frontend needs one or two sockets, so at most 10,000 listen, which takes 15,000
 * descriptors; the others have no endpoints.
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

    private static final int MAX_LISTENING = 10_000;

    @Param({"100", "1000", "10000", "50000"})
    int servicePorts;

    private Forwarder forwarder;
    private ServiceSnapshot base;
    private ServiceSnapshot oneEndpointMore;
    private ServiceSnapshot without;

    @Setup
    public void open() throws IOException {
        base = ServiceSnapshot.of(IntStream.range(0, servicePorts)
                .mapToObj(i -> SnapshotBenchmark.servicePort(i, i < MAX_LISTENING ? ENDPOINTS : 0))
                .toArray(ServicePort[]::new));
        int one = Math.min(servicePorts, MAX_LISTENING) / 2;
        ServicePort more = SnapshotBenchmark.servicePort(one, ENDPOINTS + 1);
        oneEndpointMore = base.with(List.of(more), List.of());
        without = base.with(List.of(), List.of(more.name()));
        forwarder = new Forwarder(ForwarderConfig.defaults(), ForwarderCallbacks.of(status -> {}));
        forwarder.apply(base);
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

    /** Two changes per operation: one endpoint is added and removed again. */
    @Benchmark
    public void addAndRemoveEndpoint() {
        forwarder.apply(oneEndpointMore);
        forwarder.apply(base);
    }

    /** Two changes per operation: the listening sockets of a service port are closed and opened again. */
    @Benchmark
    public void removeAndAddServicePort() {
        forwarder.apply(without);
        forwarder.apply(base);
    }
}
