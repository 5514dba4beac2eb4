package io.sluice.forward;

import io.netty.buffer.AbstractByteBufAllocator;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.UnpooledByteBufAllocator;
import java.nio.ByteBuffer;

/**
 * Gives the datagram channels of one loop the same buffer for every read. What was read is sent on before the next
 * read, so one is enough; from a pool, a megabyte for each read would make and free a whole chunk of the pool.
 */
final class SharedReadBuffer extends AbstractByteBufAllocator {
    private final ByteBuf buffer;
    /** The same memory. */
    private final ByteBuffer memory;

    SharedReadBuffer(int bytes) {
        super(true);
        // Made here and not by the pool, whose leak detection would follow every slice of it for ever.
        buffer = UnpooledByteBufAllocator.DEFAULT.directBuffer(bytes, bytes);
        memory = buffer.nioBuffer(0, bytes);
    }

    /** Copies a datagram that was read into the buffer. Netty's own copy makes an object each time on newer Javas. */
    void copy(ByteBuf datagram, ByteBuffer to, int at) {
        int start = (int) (datagram.memoryAddress() + datagram.readerIndex() - buffer.memoryAddress());
        to.put(at, memory, start, datagram.readableBytes());
    }

    @Override
    protected ByteBuf newDirectBuffer(int initialCapacity, int maxCapacity) {
        if (buffer.refCnt() != 1 || initialCapacity > buffer.capacity()) {
            throw new IllegalStateException("a datagram of the last read is still held");
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
