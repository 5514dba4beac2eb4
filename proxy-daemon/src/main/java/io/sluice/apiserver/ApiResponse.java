package io.sluice.apiserver;

import io.sluice.document.Problem;
import java.io.Closeable;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.LongSupplier;
import tools.jackson.core.JacksonException;

/**
 * Response of an API server, with a body to be read as a stream. Any thread may close the response, which ends a
 * blocked read. If the body has not been read to its end, closing the response also closes the connection.
 */
final class ApiResponse implements Closeable {
    private final int status;
    private final String server;
    private final Optional<Duration> retryAfter;
    private final InputStream body;
    private final LongSupplier nanoTime;
    private final Runnable closed;
    private final AtomicBoolean open = new AtomicBoolean(true);
    private volatile long lastDataNanos;

    /** Number of bytes that the current object may still contain. Confined to the reading thread. */
    private long bytesLeft = ApiLimits.MAX_OBJECT_BYTES;

    /** @param closed callback that runs once, when this response is closed */
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
        lastDataNanos = nanoTime.getAsLong();
    }

    int status() {
        return status;
    }

    /** Name of the server, for messages and for {@link ApiClient#markFailed}. */
    String server() {
        return server;
    }

    /** Delay from the Retry-After header; empty if the header is missing or is not a number of seconds. */
    Optional<Duration> retryAfter() {
        return retryAfter;
    }

    InputStream body() {
        return body;
    }

    /** Resets the size limit. Must be called after each object that has been read completely. */
    void nextObject() {
        bytesLeft = ApiLimits.MAX_OBJECT_BYTES;
    }

    /** Time at which the last data of this response arrived. */
    long lastDataNanos() {
        return lastDataNanos;
    }

    /** Reads the reason of an error from the body: that of the Status object, or else the first line. */
    String errorMessage() throws IOException {
        byte[] bytes = bytes(ApiLimits.MAX_ERROR_BYTES, ApiLimits.ERROR_TIMEOUT);
        String text = new String(bytes, StandardCharsets.UTF_8).strip();
        try {
            text = ApiLimits.JSON.readTree(text).path("message").stringValue(text);
        } catch (JacksonException e) {
            text = text.lines().findFirst().orElse("(no message)");
        }
        return Problem.oneLine(text);
    }

    /** Reads up to {@code maxBytes} bytes of the body. Fails if they do not arrive within the timeout. */
    byte[] bytes(int maxBytes, Duration timeout) throws IOException {
        CompletableFuture<Void> timer =
                new CompletableFuture<Void>().completeOnTimeout(null, timeout.toNanos(), TimeUnit.NANOSECONDS);
        var unused = timer.thenRun(this::end);
        try {
            return body.readNBytes(maxBytes);
        } finally {
            timer.cancel(false);
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

    /** Body that records when data arrives, and fails when an object is too large. */
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
            lastDataNanos = nanoTime.getAsLong();
            bytesLeft -= Math.max(0, bytes);
            if (bytesLeft < 0) {
                throw new ApiLimits.ExceededException(
                        "an object is larger than " + ApiLimits.MAX_OBJECT_BYTES + " bytes");
            }
        }
    }
}
