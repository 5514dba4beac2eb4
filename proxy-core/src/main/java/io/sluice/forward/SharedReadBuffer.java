package io.sluice.forward;

import io.netty.buffer.AbstractByteBufAllocator;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.UnpooledByteBufAllocator;
import java.nio.ByteBuffer;

/**
 * Allocator that gives all UDP listeners of one loop the same buffer for every read. One buffer is enough, because the
 * datagrams of each read are forwarded before the next read. With a pooled allocator, every read would allocate and
 * free a whole chunk, because the buffer of a read is one megabyte.
 */
final class SharedReadBuffer extends AbstractByteBufAllocator {
    private final ByteBuf buffer;
    /** The memory of {@link #buffer}. */
    private final ByteBuffer memory;

    SharedReadBuffer(int bytes) {
        super(true);
        // Unpooled, because Netty's leak detector would track every slice of a pooled buffer.
        buffer = UnpooledByteBufAllocator.DEFAULT.directBuffer(bytes, bytes);
        memory = buffer.nioBuffer(0, bytes);
    }

    /** Copies a datagram out of the buffer. Netty's own copy allocates an object each time on newer JDKs. */
    void copy(ByteBuf datagram, ByteBuffer to, int at) {
        int start = (int) (datagram.memoryAddress() + datagram.readerIndex() - buffer.memoryAddress());
        to.put(at, memory, start, datagram.readableBytes());
    }

    @Override
    protected ByteBuf newDirectBuffer(int initialCapacity, int maxCapacity) {
        if (buffer.refCnt() != 1 || initialCapacity > buffer.capacity()) {
            throw new IllegalStateException("the read buffer is still in use by a datagram of the last read");
        }
        return buffer.retain().clear();
    }

    @Override
    protected ByteBuf newHeapBuffer(int initialCapacity, int maxCapacity) {
        return UnpooledByteBufAllocator.DEFAULT.heapBuffer(initialCapacity, maxCapacity);
    }

    @Override
    public boolean isDirectBufferPooled() {
        return true;
    }

    void free() {
        buffer.release();
    }
}
