package io.sluice.handoverbench;

import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.EventLoop;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.epoll.EpollDatagramChannel;
import io.netty.channel.socket.DatagramPacket;
import io.sluice.handoverbench.Faults.Fault;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** UDP flows: each sends a datagram at intervals, expects it back, and always from the same endpoint. */
final class UdpFlows {
    private static final int INTERVAL_MILLIS = 100;
    private static final int TICK_MILLIS = 5;
    private static final long TIMEOUT_NANOS = 5_000_000_000L;

    private final LoadPlan plan;
    private final MultiThreadIoEventLoopGroup group;
    private final Faults faults;
    private final List<Flow> flows = new ArrayList<>();
    private long replies;
    private long maxNanos;
    private int tick;
    private volatile boolean running;

    UdpFlows(LoadPlan plan, MultiThreadIoEventLoopGroup group, Faults faults) {
        this.plan = plan;
        this.group = group;
        this.faults = faults;
    }

    void open() throws IOException {
        Bootstrap bootstrap = new Bootstrap().group(group).channel(EpollDatagramChannel.class);
        for (int i = 0; i < plan.udpFlows(); i++) {
            Flow flow = new Flow(i);
            var connected = bootstrap
                    .clone()
                    .handler(flow)
                    .connect(
                            new InetSocketAddress(plan.frontend(i), plan.port()),
                            new InetSocketAddress(plan.client(i), 0))
                    .awaitUninterruptibly();
            if (!connected.isSuccess()) {
                throw new IOException("cannot open a UDP socket", connected.cause());
            }
            flows.add(flow);
        }
    }

    void start() {
        running = true;
        EventLoop loop = (EventLoop) group.next();
        Worker.every(TimeUnit.MILLISECONDS.toNanos(TICK_MILLIS), loop, this::run);
    }

    void stop() {
        running = false;
    }

    private void run() {
        int groups = INTERVAL_MILLIS / TICK_MILLIS;
        tick++;
        for (int i = tick % groups; running && i < flows.size(); i += groups) {
            flows.get(i).send();
        }
    }

    /** The replies of one window, and the longest time to a reply, including replies still missing. */
    record Replies(long replies, double maxMillis) {}

    /** Ends the window. Must be called on the loop. */
    Replies take() {
        long now = System.nanoTime();
        for (Flow flow : flows) {
            maxNanos = Math.max(maxNanos, flow.waiting ? now - flow.sentNanos : 0);
        }
        Replies window = new Replies(replies, maxNanos / 1e6);
        replies = 0;
        maxNanos = 0;
        return window;
    }

    private final class Flow extends SimpleChannelInboundHandler<DatagramPacket> {
        private final int number;
        private Channel channel;
        private long sequence;
        private boolean waiting;
        private long sentNanos;
        private int endpoint = -1;

        @SuppressWarnings("NullAway.Init") // set when the handler is added
        Flow(int number) {
            this.number = number;
        }

        @Override
        public void handlerAdded(ChannelHandlerContext context) {
            channel = context.channel();
        }

        @SuppressWarnings("FutureReturnValueIgnored") // failures of writes arrive in exceptionCaught
        void send() {
            if (waiting) {
                if (System.nanoTime() - sentNanos < TIMEOUT_NANOS) {
                    return;
                }
                faults.add(Fault.UDP_LOST, "UDP flow %d: no reply to datagram %d".formatted(number, sequence));
            }
            waiting = true;
            sequence++;
            sentNanos = System.nanoTime();
            ByteBuf datagram =
                    channel.alloc().directBuffer(16).writeLong(number).writeLong(sequence);
            channel.writeAndFlush(datagram, channel.voidPromise());
        }

        @Override
        protected void channelRead0(ChannelHandlerContext context, DatagramPacket packet) {
            ByteBuf reply = packet.content();
            long flow = reply.readLong();
            long replied = reply.readLong();
            int from = reply.readInt();
            if (flow != number) {
                faults.add(Fault.BYTES, "UDP flow %d: received a reply for flow %d".formatted(number, flow));
            } else if (endpoint >= 0 && from != endpoint) {
                faults.add(Fault.UDP_ENDPOINT, "UDP flow %d: endpoint %d after %d".formatted(number, from, endpoint));
            }
            endpoint = from;
            if (replied == sequence && waiting) {
                waiting = false;
                replies++;
                maxNanos = Math.max(maxNanos, System.nanoTime() - sentNanos);
            }
        }

        @Override
        public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
            faults.add(Fault.UDP_LOST, "UDP flow %d: %s".formatted(number, cause.getMessage()));
        }
    }
}
