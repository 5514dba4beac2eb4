package io.sluice.handoverbench;

import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.EventLoop;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.sluice.handoverbench.Faults.Fault;
import io.sluice.handoverbench.Opening.Kind;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;

/**
 * Connections in the states that are hard to move: bulk transfers in each direction, half-closed ones, and ones whose
 * receiver does not read, so that Sluice holds bytes. One of each over IPv4 and, except bulk, over IPv6.
 */
final class SpecialConnections {
    private static final int END_SECONDS = 30;
    /** Number of the first connection; a multiple of eight. */
    private static final long FIRST = 2_000_000;

    private final LoadPlan plan;
    private final MultiThreadIoEventLoopGroup group;
    private final Faults faults;
    private final List<Special> all = new ArrayList<>();
    private volatile boolean ending;

    SpecialConnections(LoadPlan plan, MultiThreadIoEventLoopGroup group, Faults faults) {
        this.plan = plan;
        this.group = group;
        this.faults = faults;
    }

    void open() throws IOException {
        connect(new Special("bulk to endpoint", Kind.SINK, number(false), plan.bulkRate()));
        connect(new Special("bulk to client", Kind.SOURCE, number(false), 0));
        for (boolean ipv6 : new boolean[] {false, true}) {
            connect(new Special("client sent FIN", Kind.MESSAGES, number(ipv6), 0));
            connect(new Special("endpoint sent FIN", Kind.FIN, number(ipv6), 0));
            connect(new Special("client does not read", Kind.SOURCE, number(ipv6), 0));
            connect(new Special("endpoint does not read", Kind.SINK, number(ipv6), 0));
        }
    }

    private long number(boolean ipv6) {
        return FIRST + (long) LoadPlan.IPV6_EVERY * all.size() + (ipv6 ? LoadPlan.IPV6_EVERY - 1 : 0);
    }

    private void connect(Special connection) throws IOException {
        all.add(connection);
        long number = connection.opening.connection();
        var connected = Worker.client(group)
                .handler(connection)
                .connect(
                        new InetSocketAddress(plan.frontend(number), plan.port()),
                        new InetSocketAddress(plan.client(number), 0))
                .awaitUninterruptibly();
        if (!connected.isSuccess()) {
            throw new IOException("cannot connect: " + connection.name, connected.cause());
        }
    }

    int count() {
        return all.size();
    }

    /** Returns the longest time in which a connection that always transfers data received none. On the loop. */
    double takeGapMillis() {
        long max = 0;
        long now = System.nanoTime();
        for (Special connection : all) {
            max = Math.max(max, connection.takeGapNanos(now));
        }
        return max / 1e6;
    }

    /** From now on, the endpoint may close connections. */
    void allowEnd() {
        ending = true;
    }

    /** Reads everything, ends all connections, and returns their totals by number. */
    Map<Long, EndpointProcess.Total> finish() throws InterruptedException {
        EventLoop loop = (EventLoop) group.next();
        all.forEach(each -> loop.execute(each::end));
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(END_SECONDS);
        while (!all.stream().allMatch(each -> each.hasFailed() || each.hasEnded()) && System.nanoTime() < deadline) {
            TimeUnit.MILLISECONDS.sleep(50);
        }
        Map<Long, EndpointProcess.Total> totals = new TreeMap<>();
        for (Special each : all) {
            if (!each.hasFailed() && !each.hasEnded()) {
                faults.add(Fault.TIMEOUT, "%s: not ended, %d bytes received".formatted(each.name, each.received()));
            }
            if (!each.hasFailed() && each.hasEnded()) {
                totals.put(
                        each.opening.connection(),
                        new EndpointProcess.Total(each.opening.kind(), each.received(), each.sent(), each.hasEnded()));
            }
        }
        return totals;
    }

    @SuppressWarnings("FutureReturnValueIgnored") // failures of writes arrive in exceptionCaught
    private final class Special extends StreamConnection {
        private final String name;
        private long lastNanos;
        private long maxGapNanos;

        Special(String name, Kind kind, long number, long argument) {
            super(new Opening(kind, number, argument), true, faults);
            this.name = name;
        }

        @Override
        public void channelActive(ChannelHandlerContext context) {
            context.writeAndFlush(opening.encode(context.alloc()), context.voidPromise());
            lastNanos = System.nanoTime();
            switch (opening.kind()) {
                case SOURCE -> limitReads(isStalled() ? 0 : plan.bulkRate());
                case SINK -> flood();
                case MESSAGES -> finish();
                case FIN -> sendMessage();
                case REPLY -> throw new IllegalStateException("not special");
            }
        }

        private boolean isStalled() {
            return name.equals("client does not read");
        }

        private void sendMessage() {
            if (!isFinishing() && !hasFailed()) {
                send(EndpointConnection.MESSAGE_BYTES);
                Worker.after(EndpointConnection.MESSAGE_NANOS, channel().eventLoop(), this::sendMessage);
            }
        }

        @Override
        void onReceived(int bytes) {
            long now = System.nanoTime();
            maxGapNanos = Math.max(maxGapNanos, now - lastNanos);
            lastNanos = now;
        }

        long takeGapNanos(long now) {
            boolean receives = opening.kind() == Kind.MESSAGES || (opening.kind() == Kind.SOURCE && !isStalled());
            if (!receives || hasFailed()) {
                return 0;
            }
            long gap = Math.max(maxGapNanos, now - lastNanos);
            maxGapNanos = 0;
            return gap;
        }

        void end() {
            if (opening.kind() == Kind.SOURCE) {
                limitReads(Opening.UNLIMITED);
            }
            finish();
        }

        @Override
        boolean onFin() {
            return ending || opening.kind() == Kind.FIN;
        }
    }
}
