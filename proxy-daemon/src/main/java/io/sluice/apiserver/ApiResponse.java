package io.sluice.apiserver;

import java.io.Closeable;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.LongSupplier;

/**
 * What an API server answered, its body still to be read. Closing it, by any thread, ends a read that waits; the
 * connection goes with it unless the body was read to its end.
 */
final class ApiResponse implements Closeable {
    private final int status;
    private final String server;
    private final Optional<Duration> retryAfter;
    private final InputStream body;
    private final LongSupplier nanoTime;
    private final Runnable closed;
    private final AtomicBoolean open = new AtomicBoolean(true);
    private volatile long heardNanos;

    /** @param closed run once, by whatever ends it first */
    ApiResponse(
            int status,
            String server,
            Optional<Duration> retryAfter,
            InputStream body,
            LongSupplier nanoTime,
            Runnable closed) {
        this.status = status;
        this.server = server;
        this.retryAfter = retryAfter;
        this.body = new TimedBody(body);
        this.nanoTime = nanoTime;
        this.closed = closed;
        heardNanos = nanoTime.getAsLong();
    }

    int status() {
        return status;
    }

    /** Which one, for people and for {@link ApiClient#distrust}. */
    String server() {
        return server;
    }

    /** How long the server asks to be left alone. */
    Optional<Duration> retryAfter() {
        return retryAfter;
    }

    InputStream body() {
        return body;
    }

    /** When its headers or its last bytes arrived. */
    long heardNanos() {
        return heardNanos;
    }

    /** The beginning of the body, if it comes in time; for what is short. Fails if it does not. */
    byte[] bytes(int most, Duration within) throws IOException {
        CompletableFuture<Void> late =
                new CompletableFuture<Void>().completeOnTimeout(null, within.toNanos(), TimeUnit.NANOSECONDS);
        var unused = late.thenRun(this::end);
        try {
            return body.readNBytes(most);
        } finally {
            late.cancel(false);
        }
    }

    private void end() {
        try {
            close();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public void close() throws IOException {
        if (open.compareAndSet(true, false)) {
            closed.run();
            body.close();
        }
    }

    /** Notes when something arrives. */
    private final class TimedBody extends FilterInputStream {
        TimedBody(InputStream in) {
            super(in);
        }

        @Override
        public int read() throws IOException {
            int b = super.read();
            heardNanos = nanoTime.getAsLong();
            return b;
        }

        @Override
        public int read(byte[] bytes, int offset, int length) throws IOException {
            int read = super.read(bytes, offset, length);
            heardNanos = nanoTime.getAsLong();
            return read;
        }
    }
}
