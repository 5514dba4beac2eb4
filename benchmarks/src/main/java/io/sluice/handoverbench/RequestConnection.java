package io.sluice.handoverbench;

import io.netty.channel.ChannelHandlerContext;
import io.sluice.handoverbench.Opening.Kind;
import org.jspecify.annotations.Nullable;

/** The client side of a connection on which each message gets a reply of the same length; measures the time for it. */
final class RequestConnection extends StreamConnection {
    private static final int MAX_OUTSTANDING = 16;
    private static final int OPENING_MESSAGE_BYTES = 100;

    /** Stream position at which the reply to each outstanding message ends, and when the message was sent. */
    private final long[] ends = new long[MAX_OUTSTANDING];

    private final long[] sentNanos = new long[MAX_OUTSTANDING];
    private int first;
    private int outstanding;
    private long maxPauseNanos;
    private long replies;
    private @Nullable Runnable whenReplied;

    RequestConnection(long number, Faults faults) {
        super(new Opening(Kind.REPLY, number, 0), true, faults);
    }

    @Override
    @SuppressWarnings("FutureReturnValueIgnored") // failures of writes arrive in exceptionCaught
    public void channelActive(ChannelHandlerContext context) {
        context.write(opening.encode(context.alloc()), context.voidPromise());
        request(OPENING_MESSAGE_BYTES);
    }

    /** Sends a message, unless too many have no reply yet. */
    void request(int bytes) {
        if (hasFailed() || outstanding == MAX_OUTSTANDING) {
            return;
        }
        int last = (first + outstanding) % MAX_OUTSTANDING;
        ends[last] = sent() + bytes;
        sentNanos[last] = System.nanoTime();
        outstanding++;
        send(bytes);
    }

    @Override
    void onReceived(int bytes) {
        long now = System.nanoTime();
        while (outstanding > 0 && received() >= ends[first]) {
            maxPauseNanos = Math.max(maxPauseNanos, now - sentNanos[first]);
            first = (first + 1) % MAX_OUTSTANDING;
            outstanding--;
            replies++;
        }
        if (outstanding == 0 && whenReplied != null) {
            Runnable action = whenReplied;
            whenReplied = null;
            action.run();
        }
    }

    @Override
    boolean onFin() {
        return isFinishing();
    }

    /** Runs an action when all messages have a reply. */
    void whenReplied(Runnable action) {
        if (outstanding == 0) {
            action.run();
        } else {
            whenReplied = action;
        }
    }

    boolean isWaiting() {
        return outstanding > 0;
    }

    /** Returns the longest time from a message to its reply since the last call, including a reply still missing. */
    long takePauseNanos(long now) {
        long max = outstanding == 0 ? maxPauseNanos : Math.max(maxPauseNanos, now - sentNanos[first]);
        maxPauseNanos = 0;
        return max;
    }

    long takeReplies() {
        long count = replies;
        replies = 0;
        return count;
    }
}
