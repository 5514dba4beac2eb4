package io.sluice.forward;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadInfo;
import java.util.Collection;
import java.util.List;
import org.openjdk.jmh.infra.BenchmarkParams;
import org.openjdk.jmh.infra.IterationParams;
import org.openjdk.jmh.profile.InternalProfiler;
import org.openjdk.jmh.results.AggregationPolicy;
import org.openjdk.jmh.results.IterationResult;
import org.openjdk.jmh.results.Result;
import org.openjdk.jmh.results.ScalarResult;

/**
 * The bytes that the forwarder's loops allocate per operation: {@code -prof io.sluice.forward.LoopAllocationProfiler}.
 * JMH's own {@code -prof gc} counts clients and endpoints too, for they run in the same process.
 *
 * <p>A profiler and not an auxiliary counter, because JMH adds those up over iterations, and a sum of ratios says
 * nothing.
 */
public final class LoopAllocationProfiler implements InternalProfiler {
    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    private static final long STILL_RUNNING = -1;

    /** What the loops had allocated when they were about to end; JMH asks after the tear-down of the last iteration. */
    private static volatile long bytesAtEnd = STILL_RUNNING;

    private long bytesBefore;

    /** To be called before a forwarder is closed. */
    static void loopsEnd() {
        bytesAtEnd = loopBytes();
    }

    @Override
    public String getDescription() {
        return "Bytes allocated by the threads sluice-loop-*, per operation";
    }

    @Override
    public void beforeIteration(BenchmarkParams benchmarkParams, IterationParams iterationParams) {
        bytesAtEnd = STILL_RUNNING;
        bytesBefore = loopBytes();
    }

    @Override
    public Collection<? extends Result<?>> afterIteration(
            BenchmarkParams benchmarkParams, IterationParams iterationParams, IterationResult result) {
        long bytes = (bytesAtEnd == STILL_RUNNING ? loopBytes() : bytesAtEnd) - bytesBefore;
        double perOperation = (double) bytes / result.getMetadata().getAllOps();
        return List.of(new ScalarResult("loopBytesPerOp", perOperation, "B/op", AggregationPolicy.AVG));
    }

    private static long loopBytes() {
        long bytes = 0;
        for (ThreadInfo thread : THREADS.getThreadInfo(THREADS.getAllThreadIds())) {
            if (thread != null && thread.getThreadName().startsWith("sluice-loop-")) {
                bytes += Math.max(0, THREADS.getThreadAllocatedBytes(thread.getThreadId()));
            }
        }
        return bytes;
    }
}
