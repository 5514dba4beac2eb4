package io.sluice.forward;

import io.netty.buffer.ByteBuf;
import io.sluice.stats.Counter;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/**
 * One way of a session: what is read from one {@link Leg} is written to the other. Keeps at most one buffer's worth that
 * the reader does not take; while it does, nothing more is read. Belongs to the session's loop.
 *
 * <p>The two directions of a session can only be in these states together, whichever is which:
 *
 * <table>
 * <caption>Legal combinations</caption>
 * <tr><td>OPEN, OPEN</td><td>bytes pass both ways</td></tr>
 * <tr><td>ENDED, OPEN</td><td>half closed, for the half-closed timeout without a byte at most</td></tr>
 * <tr><td>ENDED, ENDED</td><td>the session is over</td></tr>
 * <tr><td>BROKEN, OPEN</td><td>a peer takes nothing any more; what it sent before still passes</td></tr>
 * <tr><td>BROKEN, BROKEN</td><td>neither peer takes anything; the first end of stream ends the session</td></tr>
 * <tr><td>DELIVERING, CLOSED</td><td>a peer was reset; the other one gets what had arrived for it, then RST</td></tr>
 * </table>
 */
final class Direction {
    enum State {
        /** What is read is written. */
        OPEN,
        /** Writing has failed: what is still read is dropped. */
        BROKEN,
        /** The end of the stream was read, and passed on behind everything that came before it. */
        ENDED,
        /** The sender was reset: nothing more is read, and what is held is written before the reader is reset too. */
        DELIVERING,
        /** The reader was reset: nothing passes any more. */
        CLOSED;

        boolean mayStandBeside(State opposite) {
            return switch (this) {
                case OPEN -> opposite == OPEN || opposite == BROKEN || opposite == ENDED;
                case BROKEN -> opposite == OPEN || opposite == BROKEN;
                case ENDED -> opposite == OPEN || opposite == ENDED;
                case DELIVERING -> opposite == CLOSED;
                case CLOSED -> opposite == DELIVERING;
            };
        }

        boolean reads() {
            return this == OPEN || this == BROKEN;
        }
    }

    /** So much of one direction at a time, then the other sessions of the loop have their turn. */
    private static final int READS_PER_TURN = 8;

    private static final int END_OF_STREAM = -1;
    private static final int FAILED = -2;

    private static final int FASTEST = Loop.BUFFER_BYTES / BufferBudget.READ_BYTES;

    final Leg from;
    final Leg to;
    private final Relay relay;
    private final Loop loop;
    private final Counter bytes;
    private State state = State.OPEN;

    /** What was read and not written yet; while it is there, nothing is read. */
    private @Nullable ByteBuf held;

    /** How many times the usual amount to read at once: the reader has taken so much before. */
    private int pace = 1;

    /** @param bytes counts what is read */
    Direction(Relay relay, Loop loop, Leg from, Leg to, Counter bytes) {
        this.relay = relay;
        this.loop = loop;
        this.from = from;
        this.to = to;
        this.bytes = bytes;
    }

    State state() {
        return state;
    }

    void enter(State next) {
        state = next;
    }

    boolean holds() {
        return held != null;
    }

    /** Passes on what there is, while the reader takes it. */
    void pump() {
        int reads = 0;
        while (from.readable && held == null && state.reads() && !relay.isOver()) {
            if (reads++ == READS_PER_TURN) {
                relay.takeTurnLater();
                break;
            }
            int most = loop.held.readBytes(pace);
            int length = read(most);
            if (length > 0) {
                from.readable = length == most || from.hungUp;
                if (from.hungUp && length < most) {
                    to.cork();
                }
                passOn(length);
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

    /** How much now is in the loop's buffer; 0 for nothing yet, or one of the two below that. */
    private int read(int most) {
        try {
            return from.socket.read(loop.bufferAddress, most);
        } catch (IOException e) {
            from.failed(e);
            relay.fail(this);
            return FAILED;
        }
    }

    private void passOn(int length) {
        if (state == State.BROKEN) {
            return;
        }
        int sent = write(loop.bufferAddress, 0, length);
        if (sent < 0) {
            return;
        }
        relay.passed(bytes, length);
        pace(sent, length);
        if (sent < length) {
            hold(sent, length);
        }
    }

    /** The faster the reader takes, the more to read at once: fewer calls, and fewer updates of the sender's window. */
    private void pace(int sent, int length) {
        if (sent < length) {
            pace = 1;
        } else if (length == BufferBudget.READ_BYTES * pace && pace < FASTEST) {
            pace *= 2;
        }
    }

    private void hold(int start, int end) {
        ByteBuf rest = loop.held.hold(loop.buffer, start, end);
        if (rest == null || loop.held.isExhausted()) {
            loop.shortage.note(ResourceExhaustion.Kind.HELD_BYTES);
        }
        if (rest == null) {
            relay.shed();
            return;
        }
        held = rest;
        to.awaitWritable();
        if (from.leaving) {
            relay.awaitReader();
        }
    }

    /** How much the reader took; -1 if it takes nothing any more, and then the session may be over. */
    private int write(long address, int start, int end) {
        try {
            return to.write(address, start, end);
        } catch (IOException e) {
            to.failed(e);
            Direction opposite = relay.opposite(this);
            // What it sent before it failed may still lie in our receive buffer: an early answer, then a reset.
            if (!opposite.state.reads()) {
                relay.fail(opposite);
                return -1;
            }
            enter(State.BROKEN);
            assert relay.isLegal();
            to.readable = true;
            to.hungUp = true;
            relay.awaitEnd();
            opposite.pump();
            return -1;
        }
    }

    /** Writes what is held, once the reader takes bytes again. */
    void flush() {
        ByteBuf rest = held;
        while (rest != null && rest.isReadable()) {
            int sent = write(rest.memoryAddress(), rest.readerIndex(), rest.writerIndex());
            if (sent <= 0) {
                return;
            }
            rest.skipBytes(sent);
            relay.stayAlive();
        }
        dropHeld();
        if (state == State.DELIVERING) {
            relay.resetOnceDelivered(to);
            return;
        }
        pump();
    }

    void dropHeld() {
        if (held != null) {
            loop.held.release(held);
            held = null;
        }
    }

    /** The sender has sent its last byte, and the reader has taken it. */
    private void endOfStream() {
        if (from.hasFailed()) {
            relay.fail(this);
            return;
        }
        enter(State.ENDED);
        assert relay.isLegal();
        if (relay.opposite(this).state == State.ENDED) {
            relay.ended();
            return;
        }
        try {
            to.shutdownOutput();
        } catch (IOException e) {
            to.failed(e);
            relay.fail(relay.opposite(this));
            return;
        }
        relay.awaitEnd();
    }
}
