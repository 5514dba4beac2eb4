package io.sluice.forward;

import io.netty.buffer.ByteBuf;
import io.sluice.forward.MovedConnection.Stream;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * One direction of a connection: reads from one {@link Leg} (the sender) and writes to the other (the reader). If the
 * reader does not accept all bytes, this class buffers the rest, at most {@link Loop#BUFFER_BYTES}, and reads nothing
 * more from the sender until they are written. Used only by the loop's thread.
 */
final class Direction {
    /** Maximum number of reads in one direction before the loop serves its other connections. */
    private static final int READS_PER_ROUND = 8;

    private static final int END_OF_STREAM = -1;
    private static final int FAILED = -2;

    private static final int MAX_READ_FACTOR = Loop.BUFFER_BYTES / BufferBudget.READ_BYTES;

    final Leg from;
    final Leg to;
    private final Relay relay;
    private final Counter counter;
    /** Number of forwarded bytes, whether already written to the reader or still pending. */
    private long bytes;

    private DirectionState state = DirectionState.OPEN;

    /** Bytes that were read but not yet written; nothing more is read until they are written. */
    private @Nullable ByteBuf pending;

    /**
     * Read size as a multiple of {@link BufferBudget#READ_BYTES}; grows as long as the reader accepts all bytes of each
     * read.
     */
    private int readFactor = 1;

    /** @param counter the counter of forwarded bytes */
    Direction(Relay relay, Leg from, Leg to, Counter counter) {
        this.relay = relay;
        this.from = from;
        this.to = to;
        this.counter = counter;
    }

    DirectionState state() {
        return state;
    }

    void enter(DirectionState next) {
        state = next;
    }

    long bytes() {
        return bytes;
    }

    boolean hasPending() {
        return pending != null;
    }

    /**
     * Forwards available bytes until none are left, the reader accepts no more, or the maximum number of reads per
     * round is reached.
     */
    void pump() {
        int reads = 0;
        while (from.readable && pending == null && state.reads() && !relay.isOver()) {
            if (reads++ == READS_PER_ROUND) {
                relay.continueLater();
                break;
            }
            int maxBytes = relay.loop.bufferBudget.readBytes(readFactor);
            int length = read(maxBytes);
            if (length > 0) {
                from.readable = length == maxBytes || from.readUntilEmpty;
                if (from.readUntilEmpty && length < maxBytes) {
                    to.cork();
                }
                forward(length);
            } else {
                from.readable = false;
                if (length == END_OF_STREAM) {
                    endOfStream();
                }
            }
        }
        if (!relay.isOver()) {
            to.uncork();
        }
    }

    /**
     * Reads into the loop's buffer. Returns the number of bytes, 0 if nothing can be read yet, END_OF_STREAM or FAILED.
     */
    private int read(int maxBytes) {
        try {
            return from.socket.read(relay.loop.bufferAddress, maxBytes);
        } catch (IOException e) {
            from.failed(e);
            relay.fail(this);
            return FAILED;
        }
    }

    /** Writes a PROXY protocol header from the loop's buffer, before all other bytes. */
    void writeHeader(int length) {
        int sent = write(relay.loop.bufferAddress, 0, length);
        if (sent >= 0 && sent < length) {
            // The send buffer of a new connection has room for a header, unless the node is out of memory.
            relay.shed();
        }
    }

    /** Continues with the state in which another process has left this direction. */
    void resume(Stream from) {
        bytes = from.bytes();
        if (from.ended()) {
            state = DirectionState.ENDED;
        }
        int length = from.pending().remaining();
        if (length > 0) {
            relay.loop.buffer.put(0, from.pending(), from.pending().position(), length);
            keepPending(0, length);
        }
    }

    /** Returns the state that {@link #resume} needs, and gives up the pending bytes. */
    Stream release() {
        ByteBuf rest = pending;
        ByteBuffer copy = ByteBuffer.allocate(pendingBytes());
        if (rest != null) {
            rest.getBytes(rest.readerIndex(), copy);
            copy.flip();
        }
        dropPending();
        return new Stream(bytes, state == DirectionState.ENDED, copy);
    }

    int pendingBytes() {
        return pending == null ? 0 : pending.readableBytes();
    }

    /** Forwards bytes that the sender's socket delivered before this direction existed. */
    void forwardFirst(byte[] first) {
        if (first.length > 0 && !relay.isOver()) {
            relay.loop.buffer.put(0, first);
            forward(first.length);
        }
    }

    private void forward(int length) {
        if (state == DirectionState.BROKEN) {
            return;
        }
        int sent = write(relay.loop.bufferAddress, 0, length);
        if (sent < 0) {
            return;
        }
        bytes += length;
        relay.forwarded(counter, length);
        adaptReadSize(sent, length);
        if (sent < length) {
            keepPending(sent, length);
        }
    }

    /**
     * Adapts the read size to the reader, because larger reads need fewer system calls and cause fewer window updates
     * to the sender.
     */
    private void adaptReadSize(int sent, int length) {
        if (sent < length) {
            readFactor = 1;
        } else if (length == BufferBudget.READ_BYTES * readFactor && readFactor < MAX_READ_FACTOR) {
            readFactor *= 2;
        }
    }

    private void keepPending(int start, int end) {
        ByteBuf rest = relay.loop.bufferBudget.copy(relay.loop.buffer, start, end);
        if (rest == null || relay.loop.bufferBudget.isExhausted()) {
            relay.loop.exhaustion.note(ResourceExhaustion.Kind.BUFFER_MEMORY);
        }
        if (rest == null) {
            relay.shed();
            return;
        }
        pending = rest;
        to.awaitWritable();
        if (from.peerClosed) {
            relay.ensureHalfClosedTimeout();
        }
    }

    /**
     * Writes to the reader. Returns the number of bytes that its socket accepted, or -1 if writing failed, which may
     * have ended the session.
     */
    private int write(long address, int start, int end) {
        try {
            return to.write(address, start, end);
        } catch (IOException e) {
            to.failed(e);
            Direction opposite = relay.opposite(this);
            // Bytes that this peer sent before the failure, such as an early response followed by a reset, may still be
            // in the kernel's receive buffer.
            if (!opposite.state.reads()) {
                relay.fail(opposite);
                return -1;
            }
            enter(DirectionState.BROKEN);
            assert relay.isLegal();
            to.readable = true;
            to.readUntilEmpty = true;
            relay.startHalfClosedTimeout();
            opposite.pump();
            return -1;
        }
    }

    /** Writes the pending bytes once the reader is writable again, then resumes reading. */
    void flush() {
        ByteBuf rest = pending;
        while (rest != null && rest.isReadable()) {
            int sent = write(rest.memoryAddress(), rest.readerIndex(), rest.writerIndex());
            if (sent <= 0) {
                return;
            }
            rest.skipBytes(sent);
            relay.bytesMoved();
        }
        dropPending();
        if (state == DirectionState.DELIVERING) {
            relay.resetOnceDelivered(to);
            return;
        }
        pump();
    }

    void dropPending() {
        if (pending != null) {
            relay.loop.bufferBudget.release(pending);
            pending = null;
        }
    }

    /** Forwards the sender's FIN after all of the sender's bytes were written. */
    private void endOfStream() {
        if (from.hasFailed()) {
            relay.fail(this);
            return;
        }
        enter(DirectionState.ENDED);
        assert relay.isLegal();
        if (relay.opposite(this).state == DirectionState.ENDED) {
            relay.bothEnded(this);
            return;
        }
        try {
            to.shutdownOutput();
        } catch (IOException e) {
            to.failed(e);
            relay.fail(relay.opposite(this));
            return;
        }
        relay.startHalfClosedTimeout();
    }
}
