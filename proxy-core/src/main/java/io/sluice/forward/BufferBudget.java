package io.sluice.forward;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.util.internal.OutOfDirectMemoryError;
import java.nio.ByteBuffer;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * Limits how many bytes all connections together buffer for slow readers. The limit matters only for readers that are
 * slower than their senders. Thread-safe.
 *
 * <p>Each direction of a connection buffers at most the bytes of one read. While more than half of the budget is in
 * use, reads are smaller. While all of the budget is in use, no new connections are accepted.
 */
final class BufferBudget {
    /** Default read size. {@link Direction} uses a multiple of it for a reader that accepts all bytes of each read. */
    static final int READ_BYTES = 128 << 10;

    private static final int SHORT_READ_BYTES = 16 << 10;

    private final long budget;
    private final AtomicLong usedBytes = new AtomicLong();

    BufferBudget(long budget) {
        this.budget = budget;
    }

    /** Returns a copy of the bytes from {@code start} to {@code end}, or null if direct memory is exhausted. */
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
     * Returns the number of bytes to read at once: {@code readFactor} times the default or, while more than half of the
     * budget is in use, a fixed smaller size.
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

    /** Number of bytes until the budget is exhausted; negative if more is in use. */
    long roomBytes() {
        return budget - usedBytes.get();
    }
}
