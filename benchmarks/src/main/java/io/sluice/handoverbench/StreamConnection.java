package io.sluice.handoverbench;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.socket.ChannelInputShutdownEvent;
import io.netty.channel.socket.DuplexChannel;
import io.sluice.handoverbench.Faults.Fault;

/**
 * One side of a connection, at the client or at the endpoint: checks the stream that it receives and sends its own.
 * Subclasses decide when. Belongs to one event loop.
 */
@SuppressWarnings("FutureReturnValueIgnored") // failures of writes arrive in exceptionCaught
abstract class StreamConnection extends ChannelInboundHandlerAdapter {
    private static final long READ_TICK_NANOS = 5_000_000;
    private static final int FLOOD_SLICE_BYTES = 32 << 10;

    final Opening opening;
    private final ByteStream in;
    private final ByteStream out;
    private final Faults faults;
    private Channel channel;
    private boolean flooding;
    private boolean finishing;
    // Volatile, because the thread that executes commands waits for the end of connections.
    private volatile boolean sentFin;
    private volatile boolean receivedFin;
    private volatile boolean failed;
    private boolean limited;
    private long readRate = Opening.UNLIMITED;
    private long readBudget;

    @SuppressWarnings("NullAway.Init") // set when the handler is added
    StreamConnection(Opening opening, boolean client, Faults faults) {
        this.opening = opening;
        this.faults = faults;
        ByteStream fromClient = ByteStream.fromClient(opening.connection());
        ByteStream fromEndpoint = ByteStream.fromEndpoint(opening.connection());
        this.in = client ? fromEndpoint : fromClient;
        this.out = client ? fromClient : fromEndpoint;
    }

    /** Called after bytes were received and matched. */
    abstract void onReceived(int bytes);

    /** Called after the peer has sent FIN; returns whether that was expected. */
    abstract boolean onFin();

    final Channel channel() {
        return channel;
    }

    final long sent() {
        return out.position();
    }

    final long received() {
        return in.position();
    }

    final boolean hasFailed() {
        return failed;
    }

    final boolean hasEnded() {
        return sentFin && receivedFin;
    }

    /** Whether {@link #finish} was called. */
    final boolean isFinishing() {
        return finishing;
    }

    @Override
    public void handlerAdded(ChannelHandlerContext context) {
        channel = context.channel();
    }

    /** Sends the next bytes of the stream. */
    final void send(int bytes) {
        if (!failed && !finishing) {
            // A failed write arrives in exceptionCaught; otherwise, the reset would look like a FIN to the next read.
            channel.writeAndFlush(out.next(bytes), channel.voidPromise());
        }
    }

    /** Takes bytes that are sent outside of this class. */
    final ByteBuf takeNext(int bytes) {
        return out.next(bytes);
    }

    /** Sends as much as the connection accepts, until {@link #finish}. */
    final void flood() {
        flooding = true;
        fill();
    }

    private void fill() {
        while (flooding && !failed && channel.isWritable()) {
            channel.write(out.next(FLOOD_SLICE_BYTES), channel.voidPromise());
        }
        channel.flush();
    }

    /** Sends FIN after all bytes. */
    final void finish() {
        flooding = false;
        if (!finishing && !failed) {
            finishing = true;
            channel.writeAndFlush(Unpooled.EMPTY_BUFFER)
                    .addListener(written -> ((DuplexChannel) channel)
                            .shutdownOutput()
                            .addListener(done -> {
                                sentFin = true;
                                closeIfEnded();
                            }));
        }
    }

    /** Limits reads to a rate in bytes per second; 0 stops reading. */
    final void limitReads(long bytesPerSecond) {
        boolean wasLimited = limited;
        readRate = bytesPerSecond;
        limited = bytesPerSecond != Opening.UNLIMITED;
        channel.config().setAutoRead(!limited);
        if (limited && !wasLimited) {
            refill();
        }
    }

    private void refill() {
        if (!limited || !channel.isOpen()) {
            return;
        }
        readBudget = readRate * READ_TICK_NANOS / 1_000_000_000;
        if (readBudget > 0) {
            channel.read();
        }
        Worker.after(READ_TICK_NANOS, channel.eventLoop(), this::refill);
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        ByteBuf bytes = (ByteBuf) message;
        try {
            int length = bytes.readableBytes();
            readBudget -= length;
            long from = in.position();
            int matched = in.match(bytes);
            if (matched < length && !failed) {
                fail(Fault.BYTES, "wrong byte at " + (from + matched));
                channel.close();
            } else if (!failed) {
                onReceived(length);
            }
        } finally {
            bytes.release();
        }
    }

    @Override
    public void channelReadComplete(ChannelHandlerContext context) {
        if (limited && readBudget > 0) {
            channel.read();
        }
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext context) {
        if (flooding) {
            fill();
        }
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext context, Object event) {
        if (event == ChannelInputShutdownEvent.INSTANCE) {
            receiveFin();
            closeIfEnded();
        }
    }

    private void receiveFin() {
        if (receivedFin || failed) {
            return;
        }
        receivedFin = true;
        if (!onFin()) {
            fail(Fault.CLOSED, "unexpected FIN");
            channel.close();
        }
    }

    private void closeIfEnded() {
        if (hasEnded()) {
            channel.close();
        }
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        receiveFin();
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
        if (!hasEnded()) {
            fail(Fault.RESET, String.valueOf(cause.getMessage()));
        }
        channel.close();
    }

    private void fail(Fault fault, String detail) {
        if (!failed) {
            failed = true;
            flooding = false;
            faults.add(
                    fault,
                    "%s connection %d: %s, after %d bytes received and %d sent"
                            .formatted(opening.kind(), opening.connection(), detail, received(), sent()));
        }
    }
}
