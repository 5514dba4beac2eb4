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

    /** What may still come before {@link #nextObject}. Confined to the reader. */
    private long left = ApiLimits.MAX_OBJECT_BYTES;

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

    /** An object has been read to its end: the next one may be as large as the first. */
    void nextObject() {
        left = ApiLimits.MAX_OBJECT_BYTES;
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

    /** Notes when something arrives, and ends what is larger than any object. */
    private final class TimedBody extends FilterInputStream {
        TimedBody(InputStream in) {
            super(in);
        }

        @Override
        public int read() throws IOException {
            int b = super.read();
            received(b < 0 ? 0 : 1);
            return b;
        }

        @Override
        public int read(byte[] bytes, int offset, int length) throws IOException {
            int read = super.read(bytes, offset, length);
            received(read);
            return read;
        }

        private void received(int bytes) throws IOException {
            heardNanos = nanoTime.getAsLong();
            left -= Math.max(0, bytes);
            if (left < 0) {
                throw new ApiLimits.ExceededException(
                        "an object is larger than " + ApiLimits.MAX_OBJECT_BYTES + " bytes");
            }
        }
    }
}
