package io.sluice.handover;

import io.sluice.forward.Forwarder;
import io.sluice.forward.MovedConnection;
import io.sluice.socket.UnixSocket;
import io.sluice.text.Table;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Moves the open TCP connections of this process to the new process, which is already serving. Connections that are
 * being established are moved afterwards. Whatever fails, connections that were not moved stay in this process.
 */
final class ConnectionSender {
    private static final Logger log = LoggerFactory.getLogger(ConnectionSender.class);

    /** Maximum number of connections that pause at the same time. */
    private static final int LARGEST_BATCH = 64;

    /** The first batch is small, because both processes run this code for the first time, which is slow. */
    private static final int FIRST_BATCH = 4;

    /** Batches are made smaller if they take longer, because the CPUs are busy. */
    private static final long TARGET_NANOS = TimeUnit.MILLISECONDS.toNanos(40);

    private static final long RETRY_NANOS = TimeUnit.MILLISECONDS.toNanos(50);
    private static final long RETRY_REJECTED_NANOS = TimeUnit.SECONDS.toNanos(1);
    private static final long REPORT_NANOS = TimeUnit.SECONDS.toNanos(1);

    private final NewProcess newProcess;
    private final Forwarder forwarder;
    private final BooleanSupplier expectsMore;
    private long retryNanos = RETRY_NANOS;
    private int batchSize = FIRST_BATCH;
    private int moved;
    private long longestPauseNanos;

    /** @param expectsMore whether this process still receives connections from another one */
    ConnectionSender(NewProcess newProcess, Forwarder forwarder, BooleanSupplier expectsMore) {
        this.newProcess = newProcess;
        this.forwarder = forwarder;
        this.expectsMore = expectsMore;
    }

    /**
     * Moves connections until none is left or the timeout has passed.
     *
     * @param pid process ID of the new process, for the log
     * @param timeout null if the connections cannot be moved, because the processes redirect packets in different ways
     */
    void sendAll(String pid, @Nullable Duration timeout) {
        long sinceNanos = System.nanoTime();
        String failure = "";
        try {
            if (timeout == null) {
                failure = ": the new process redirects packets in another way";
                newProcess.sendLeft(forwarder.sessions(), true);
            } else {
                sendUntil(sinceNanos + timeout.toNanos());
            }
        } catch (IOException e) {
            failure = ": " + e.getMessage();
        }
        int left = forwarder.sessions();
        String message = "moved {} to process {} in {} ms, a pause of at most {} ms each{}{}";
        Object[] values = {
            Table.count(moved, "connection"),
            pid,
            TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - sinceNanos),
            TimeUnit.NANOSECONDS.toMillis(longestPauseNanos),
            left == 0 ? "" : "; " + Table.count(left, "connection") + " stay in this process",
            failure
        };
        if (moved + left == 0) {
            log.debug(message, values);
        } else if (failure.isEmpty()) {
            log.info(message, values);
        } else {
            log.warn(message, values);
        }
    }

    private void sendUntil(long deadlineNanos) throws IOException {
        long reportedNanos = System.nanoTime();
        while (true) {
            if (sendNext() > 0) {
                continue;
            }
            // Must precede the number of connections, which may increase until nothing more is expected.
            boolean isLast = !expectsMore.getAsBoolean();
            int left = forwarder.sessions();
            long now = System.nanoTime();
            if ((left == 0 && isLast) || now - deadlineNanos >= 0) {
                newProcess.sendLeft(left, true);
                return;
            }
            if (now - reportedNanos >= REPORT_NANOS) {
                reportedNanos = now;
                newProcess.sendLeft(left, false);
            }
            LockSupport.parkNanos(retryNanos);
        }
    }

    /** Moves a batch and returns its size; 0 if no connection can be moved at this time. */
    private int sendNext() throws IOException {
        retryNanos = RETRY_NANOS;
        long sinceNanos = System.nanoTime();
        List<MovedConnection> batch = forwarder.releaseConnections(batchSize);
        if (batch.isEmpty()) {
            return 0;
        }
        List<MovedConnection> kept = batch;
        try {
            List<Integer> rejected = newProcess.prepare(batch);
            if (!newProcess.commit()) {
                throw new IOException("the new process has stopped waiting");
            }
            kept = rejected.stream().map(batch::get).toList();
        } finally {
            List<MovedConnection> taken = new ArrayList<>(batch);
            taken.removeAll(kept);
            UnixSocket.closeAll(MovedConnection.descriptors(taken));
            forwarder.takeBackConnections(kept);
            moved += taken.size();
        }
        newProcess.awaitContinued();
        long tookNanos = System.nanoTime() - sinceNanos;
        longestPauseNanos = Math.max(longestPauseNanos, tookNanos);
        batchSize = tookNanos > TARGET_NANOS ? Math.max(1, batchSize / 2) : Math.min(LARGEST_BATCH, batchSize * 2);
        if (!kept.isEmpty()) {
            // Each attempt pauses them, and the buffers of the new process are full.
            retryNanos = RETRY_REJECTED_NANOS;
        }
        return batch.size() - kept.size();
    }
}
