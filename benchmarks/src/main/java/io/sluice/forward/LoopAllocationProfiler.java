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
 * Reports the bytes that the forwarder's event loops allocate per operation. Enable it with
 * {@code -prof io.sluice.forward.LoopAllocationProfiler}. JMH's own {@code -prof gc} also counts clients and endpoints,
 * which run in the same process.
 *
 * <p>This is a profiler because JMH sums auxiliary counters over iterations, and a sum of ratios is meaningless.
 */
public final class LoopAllocationProfiler implements InternalProfiler {
    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    private static final long RUNNING = -1;

    /**
     * Bytes allocated by the loops before they ended. JMH reads the result after the tear-down of the last iteration.
     */
    private static volatile long bytesAtEnd = RUNNING;

    private long bytesBefore;

    /** Records the allocated bytes; call this before a forwarder is closed. */
    static void beforeLoopsEnd() {
        bytesAtEnd = loopBytes();
    }

    @Override
    public String getDescription() {
        return "Bytes allocated by the threads sluice-loop-*, per operation";
    }

    @Override
    public void beforeIteration(BenchmarkParams benchmarkParams, IterationParams iterationParams) {
        bytesAtEnd = RUNNING;
        bytesBefore = loopBytes();
    }

    @Override
    public Collection<? extends Result<?>> afterIteration(
            BenchmarkParams benchmarkParams, IterationParams iterationParams, IterationResult result) {
        long bytes = (bytesAtEnd == RUNNING ? loopBytes() : bytesAtEnd) - bytesBefore;
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
