package io.sluice.forward;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.util.internal.OutOfDirectMemoryError;
import java.nio.ByteBuffer;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * Limits how many bytes all connections together buffer for slow readers. Used only when a reader is slower than its
 * sender. Thread-safe.
 *
 * <p>Each direction buffers at most one read. When more than half of the budget is in use, reads become smaller. When
 * all of it is in use, no new connections are accepted until some of it is released.
 */
final class BufferBudget {
    /** Default read size, until a reader proves fast enough for larger reads. */
    static final int READ_BYTES = 128 << 10;

    private static final int SHORT_READ_BYTES = 16 << 10;

    private final long budget;
    private final AtomicLong usedBytes = new AtomicLong();

    BufferBudget(long budget) {
        this.budget = budget;
    }

    /** Copies the bytes of a buffer from {@code start} to {@code end}; null if direct memory is exhausted. */
    @Nullable
    ByteBuf copy(ByteBuffer buffer, int start, int end) {
        ByteBuf kept;
        try {
            kept = PooledByteBufAllocator.DEFAULT.directBuffer(end - start);
        } catch (OutOfDirectMemoryError e) {
            return null;
        }
        buffer.limit(end).position(start);
        kept.writeBytes(buffer);
        buffer.clear();
        usedBytes.addAndGet(kept.capacity());
        return kept;
    }

    void release(ByteBuf kept) {
        usedBytes.addAndGet(-kept.capacity());
        kept.release();
    }

    /**
     * Read size for a connection whose current read size is {@code readFactor} times the default, reduced when the
     * budget runs low.
     */
    int readBytes(int readFactor) {
        return usedBytes.get() > budget / 2 ? SHORT_READ_BYTES : READ_BYTES * readFactor;
    }

    boolean isExhausted() {
        return usedBytes.get() >= budget;
    }

    long bytes() {
        return usedBytes.get();
    }
}
