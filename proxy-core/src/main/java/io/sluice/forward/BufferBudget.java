package io.sluice.forward;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.util.internal.OutOfDirectMemoryError;
import java.nio.ByteBuffer;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * What all sessions together keep for readers that do not take it, and how much that may be. Touched only when a reader
 * is slower than its sender. Any thread.
 *
 * <p>Each direction holds one read at most. When half the budget is taken, reads become short; when all is, no new
 * connections are accepted until some is given back.
 */
final class BufferBudget {
    /** The usual, for whoever has not shown that he takes more. */
    static final int READ_BYTES = 128 << 10;

    private static final int SHORT_READ_BYTES = 16 << 10;

    private final long budget;
    private final AtomicLong held = new AtomicLong();

    BufferBudget(long budget) {
        this.budget = budget;
    }

    /** Keeps a copy of a buffer from {@code start} to {@code end}; null if there is no memory for it. */
    @Nullable
    ByteBuf hold(ByteBuffer buffer, int start, int end) {
        ByteBuf kept;
        try {
            kept = PooledByteBufAllocator.DEFAULT.directBuffer(end - start);
        } catch (OutOfDirectMemoryError e) {
            return null;
        }
        buffer.limit(end).position(start);
        kept.writeBytes(buffer);
        buffer.clear();
        held.addAndGet(kept.capacity());
        return kept;
    }

    void release(ByteBuf kept) {
        held.addAndGet(-kept.capacity());
        kept.release();
    }

    /** How much to read at once for somebody who takes {@code pace} times the usual. */
    int readBytes(int pace) {
        return held.get() > budget / 2 ? SHORT_READ_BYTES : READ_BYTES * pace;
    }

    boolean isExhausted() {
        return held.get() >= budget;
    }

    long bytes() {
        return held.get();
    }
}
