package io.sluice.ops;

import io.prometheus.metrics.core.metrics.CounterWithCallback;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.sluice.forward.EndedConnection;
import io.sluice.thread.Supervisor;
import io.sluice.thread.Worker;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.core.JsonGenerator;
import tools.jackson.databind.json.JsonMapper;

/**
 * The connection log: one line of JSON for each finished connection or flow.
 *
 * <p>{@link #accept} is called on event loops, so it never blocks: it puts the connection into a bounded queue, and a
 * thread writes the queue to the file every 50 ms. Lines that do not fit into the queue, or cannot be written, are
 * dropped and counted. A second thread reports them, because the first one may be blocked by a pipe that is not read.
 */
public final class ConnectionLog implements Consumer<EndedConnection>, AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(ConnectionLog.class);
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final DateTimeFormatter TIME =
            DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSS'Z'").withZone(ZoneOffset.UTC);

    /** Maximum number of lines that wait to be written; about 10 MB. */
    static final int CAPACITY = 65_536;

    private static final int MAX_BATCH_LINES = 1_024;
    private static final Duration WRITE_PERIOD = Duration.ofMillis(50);
    private static final Duration REPORT_PERIOD = Duration.ofSeconds(1);
    /** Time between checks whether the file was renamed, and between retries. */
    private static final long CHECK_NANOS = TimeUnit.MILLISECONDS.toNanos(500);

    private static final Duration CLOSE_TIMEOUT = Duration.ofSeconds(2);

    private final LogFile file;
    private final Clock clock;
    private final Queue<Line> queue = new ConcurrentLinkedQueue<>();
    /** The size of the queue, which the queue itself would have to count. */
    private final AtomicInteger waiting = new AtomicInteger();

    /** Lines dropped because the queue was full. */
    private final AtomicLong overflowed = new AtomicLong();
    /** Lines dropped because writing failed. */
    private final AtomicLong unwritten = new AtomicLong();

    private @Nullable Worker writer;
    private @Nullable Worker reporter;
    private volatile boolean closed;

    /** Why the last write failed; empty if it succeeded. */
    private volatile String error = "";

    /** The last error, which is kept after a successful write. */
    private volatile String lastError = "";

    // Confined to the thread that writes.
    private final ByteArrayOutputStream batch = new ByteArrayOutputStream(64 * 1024);
    private final int[] lineEnds = new int[MAX_BATCH_LINES];
    private long checkedNanos;

    // Confined to the thread that reports.
    private String reported = "";
    private long overflowedAtLastReport;
    private long droppedAtLastReport;
    /** The number of dropped lines that have been reported. */
    private long droppedReported;

    /** A connection that waits to be written, and the time at which it ended. */
    private record Line(EndedConnection connection, long endedMillis) {}

    ConnectionLog(LogFile file, Clock clock, long nowNanos) {
        this.file = file;
        this.clock = clock;
        this.checkedNanos = nowNanos;
    }

    /**
     * Opens the file, without writing to it until {@link #start} is called.
     *
     * @param path the path of the file, or {@code -} for stdout
     * @param clock the clock for the field {@code time}
     * @throws IllegalStateException if the file cannot be opened, with a message that names it and the reason
     */
    public static ConnectionLog open(Path path, Clock clock) {
        return open(path, clock, System.nanoTime());
    }

    static ConnectionLog open(Path path, Clock clock, long nowNanos) {
        try {
            return new ConnectionLog(LogFile.open(path), clock, nowNanos);
        } catch (IOException e) {
            throw new IllegalStateException("connection log: " + cannotOpen(path, e), e);
        }
    }

    /**
     * Opens the file and closes it again.
     *
     * @throws IllegalStateException if the file cannot be opened, with a message that names it and the reason
     */
    public static void requireWritable(Path path) {
        try (LogFile opened = LogFile.open(path)) {
            log.debug("can write the connection log {}", opened);
        } catch (IOException e) {
            throw new IllegalStateException(cannotOpen(path, e), e);
        }
    }

    private static String cannotOpen(Path path, IOException e) {
        return "cannot open '" + path + "': " + LogFile.message(e);
    }

    /** Registers the number of dropped lines as a metric. */
    public void register(PrometheusRegistry registry) {
        CounterWithCallback.builder()
                .name("sluice_connection_log_dropped_total")
                .help("Lines of the connection log that were dropped because they could not be written in time")
                .callback(metric -> metric.call((double) dropped()))
                .register(registry);
    }

    /** Starts the threads that write the log and report dropped lines. */
    public void start(Supervisor supervisor) {
        // Not a scheduled task: a pipe that is not read blocks it for any time, which must not make /livez fail.
        writer = supervisor.loop("sluice-connection-log", this::run);
        reporter = supervisor.scheduled("sluice-connection-log-report", REPORT_PERIOD, this::report);
    }

    /** Logs a finished connection or flow. Never blocks; thread-safe. */
    @Override
    public void accept(EndedConnection connection) {
        if (closed || waiting.get() >= CAPACITY) {
            overflowed.incrementAndGet();
            return;
        }
        // Several loops may pass the check at the same time, so the queue may exceed its capacity by their number.
        waiting.incrementAndGet();
        queue.add(new Line(connection, clock.millis()));
    }

    /** The number of lines dropped since the start. */
    long dropped() {
        return overflowed.get() + unwritten.get();
    }

    private void run() throws InterruptedException {
        while (!closed) {
            write(System.nanoTime());
            TimeUnit.NANOSECONDS.sleep(WRITE_PERIOD.toNanos());
        }
    }

    /** Writes all waiting lines; drops them while the file cannot be written, and retries every half second. */
    synchronized void write(long nowNanos) {
        boolean due = nowNanos - checkedNanos >= CHECK_NANOS;
        if (!error.isEmpty() && !due) {
            dropWaiting();
            return;
        }
        try {
            if (due) {
                checkedNanos = nowNanos;
                file.followRename();
            }
            // What is added meanwhile is left to the next call, so that a call ends.
            for (int left = waiting.get(); left > 0; left -= MAX_BATCH_LINES) {
                writeBatch(Math.min(left, MAX_BATCH_LINES));
                error = "";
            }
        } catch (IOException e) {
            checkedNanos = nowNanos;
            lastError = LogFile.message(e);
            error = lastError;
            dropWaiting();
        }
    }

    private void writeBatch(int lines) throws IOException {
        batch.reset();
        int count = 0;
        for (Line next = poll(); next != null; next = ++count < lines ? poll() : null) {
            encode(next);
            lineEnds[count] = batch.size();
        }
        ByteBuffer bytes = ByteBuffer.wrap(batch.toByteArray());
        int written = 0;
        try {
            file.append(bytes);
        } finally {
            while (written < count && lineEnds[written] <= bytes.position()) {
                written++;
            }
            unwritten.addAndGet(count - written);
        }
    }

    private @Nullable Line poll() {
        Line next = queue.poll();
        if (next != null) {
            waiting.decrementAndGet();
        }
        return next;
    }

    private void dropWaiting() {
        while (poll() != null) {
            unwritten.incrementAndGet();
        }
    }

    private void encode(Line line) {
        EndedConnection connection = line.connection();
        try (JsonGenerator json = JSON.createGenerator(batch)) {
            json.writeStartObject();
            json.writeStringProperty("time", TIME.format(Instant.ofEpochMilli(line.endedMillis())));
            json.writeStringProperty("service", connection.service().toString());
            json.writeStringProperty("frontend", connection.frontend().toString());
            json.writeStringProperty("client", connection.client().withPort(connection.clientPort()));
            if (connection.endpoint() == null) {
                json.writeNullProperty("endpoint");
            } else {
                json.writeStringProperty("endpoint", connection.endpoint().toString());
            }
            json.writeNumberProperty("bytesToEndpoint", connection.bytesToEndpoint());
            json.writeNumberProperty("bytesToClient", connection.bytesToClient());
            json.writeNumberProperty("durationSeconds", seconds(Math.max(0, connection.durationNanos())));
            if (connection.connectNanos() < 0) {
                json.writeNullProperty("connectSeconds");
            } else {
                json.writeNumberProperty("connectSeconds", seconds(connection.connectNanos()));
            }
            json.writeNumberProperty("tries", connection.tries());
            json.writeStringProperty("end", connection.end().text());
            json.writeEndObject();
        }
        batch.write('\n');
    }

    /** Seconds with six decimals, which are never written in scientific notation. */
    private static BigDecimal seconds(long nanos) {
        return BigDecimal.valueOf(TimeUnit.NANOSECONDS.toMicros(nanos), 6);
    }

    /** Logs when lines begin to be dropped, and their number when that ends: one period without a dropped line. */
    void report() {
        long overflowedNow = overflowed.get();
        long droppedNow = dropped();
        String cause = error;
        if (cause.isEmpty() && droppedNow > droppedAtLastReport) {
            cause = overflowedNow > overflowedAtLastReport
                    ? "connections end faster than they can be written"
                    : lastError;
        }
        if (!cause.isEmpty() && !cause.equals(reported)) {
            log.warn("cannot write the connection log {}: {}; dropping lines", file, cause);
        } else if (cause.isEmpty() && !reported.isEmpty()) {
            log.info("writing the connection log {} again; {} dropped", file, lines(droppedNow - droppedReported));
            droppedReported = droppedNow;
        }
        reported = cause;
        overflowedAtLastReport = overflowedNow;
        droppedAtLastReport = droppedNow;
    }

    private static String lines(long count) {
        return count == 1 ? "1 line was" : count + " lines were";
    }

    /** Writes the waiting lines, but for at most two seconds, and closes the file. Later connections are dropped. */
    @Override
    public void close() {
        if (reporter != null) {
            reporter.close();
        }
        if (writer != null) {
            writer.stop();
        }
        closed = true;
        // On another thread, because writing to a pipe that is not read would block this one.
        CompletableFuture<Boolean> flush = Supervisor.call("sluice-connection-log-close", this::flushAndClose);
        try {
            flush.get(CLOSE_TIMEOUT.toNanos(), TimeUnit.NANOSECONDS);
            log.debug("closed the connection log {}; {} dropped", file, lines(dropped()));
        } catch (TimeoutException e) {
            log.warn(
                    "cannot write the connection log {} within {} s; {} dropped",
                    file,
                    CLOSE_TIMEOUT.toSeconds(),
                    lines(waiting.get()));
        } catch (ExecutionException e) {
            log.warn("cannot close the connection log {}", file, e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        if (writer != null) {
            writer.close();
        }
    }

    private synchronized boolean flushAndClose() throws IOException {
        // Due now, even if the last attempt failed.
        write(checkedNanos + CHECK_NANOS);
        file.close();
        return error.isEmpty();
    }
}
