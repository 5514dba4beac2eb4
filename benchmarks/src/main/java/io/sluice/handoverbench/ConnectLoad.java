package io.sluice.handoverbench;

import io.netty.bootstrap.Bootstrap;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.EventLoop;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.sluice.handoverbench.Faults.Fault;
import io.sluice.handoverbench.Opening.Kind;
import java.net.InetSocketAddress;
import java.util.ArrayDeque;
import java.util.List;
import org.HdrHistogram.Histogram;

/** Opens connections at a fixed rate, sends one request on each, and measures the time from SYN to the whole reply. */
final class ConnectLoad {
    private static final int REQUEST_BYTES = 64;
    private static final long TIMEOUT_NANOS = 5_000_000_000L;
    private static final long TICK_NANOS = 1_000_000;
    /** Connections that are opened at once after the loop was late. The rest is skipped: it would be another load. */
    private static final int MAX_BURST = 50;
    /** Time in which the rate grows from zero, because code that is not compiled yet would fall behind. */
    private static final double RAMP_SECONDS = 5;
    /** Number of the first connection; all use IPv4. */
    private static final long FIRST = 10_000_000;

    private final LoadPlan plan;
    private final Bootstrap bootstrap;
    private final EventLoop loop;
    private final Faults faults = new Faults();
    private final ArrayDeque<NewConnection> open = new ArrayDeque<>();
    private final List<InetSocketAddress> clients;
    private final InetSocketAddress frontend;
    private Histogram times = new Histogram(3);
    private long startNanos;
    private long opened;
    private long skipped;
    private long failuresBefore;
    private volatile boolean running;

    ConnectLoad(LoadPlan plan, MultiThreadIoEventLoopGroup loop) {
        this.plan = plan;
        this.loop = (EventLoop) loop.next();
        this.bootstrap = Worker.client(loop);
        this.clients = plan.newClients().stream()
                .map(address -> new InetSocketAddress(address, 0))
                .toList();
        this.frontend = new InetSocketAddress(plan.frontend(), plan.port());
    }

    /** New connections of one window. */
    record Connects(long replied, long failed, double p99Millis, double maxMillis) {}

    void start() {
        running = true;
        loop.execute(() -> {
            startNanos = System.nanoTime();
            Worker.every(TICK_NANOS, loop, this::run);
        });
    }

    void stop() {
        running = false;
    }

    private void run() {
        long now = System.nanoTime();
        double seconds = (now - startNanos) / 1e9;
        double ramped = Math.min(seconds, RAMP_SECONDS);
        long due = (long) (plan.rate() * (ramped * ramped / RAMP_SECONDS / 2 + seconds - ramped)) - opened - skipped;
        skipped += Math.max(0, due - MAX_BURST);
        for (long i = Math.min(due, MAX_BURST); running && i > 0; i--) {
            connect(FIRST + opened++);
        }
        while (!open.isEmpty() && (open.peek().isDone() || now - open.peek().startNanos > TIMEOUT_NANOS)) {
            NewConnection oldest = open.remove();
            if (!oldest.isDone()) {
                oldest.failConnect("no reply within 5 s");
            }
        }
    }

    private void connect(long number) {
        NewConnection connection = new NewConnection(number, faults);
        open.add(connection);
        ChannelFuture connected =
                bootstrap.clone().handler(connection).connect(frontend, clients.get((int) (number % clients.size())));
        connected.addListener(done -> {
            if (!done.isSuccess()) {
                connection.failConnect(String.valueOf(done.cause().getMessage()));
            }
        });
    }

    /** Ends the window. Must be called on the loop. */
    Connects take() {
        Histogram window = times;
        times = new Histogram(3);
        long failures = faults.summary().total();
        long failed = failures - failuresBefore;
        failuresBefore = failures;
        return new Connects(
                window.getTotalCount(), failed, window.getValueAtPercentile(99) / 1e6, window.getMaxValue() / 1e6);
    }

    Faults.Summary faults() {
        return faults.summary();
    }

    @SuppressWarnings("FutureReturnValueIgnored") // failures of writes arrive in exceptionCaught
    private final class NewConnection extends StreamConnection {
        final long startNanos = System.nanoTime();
        private final Faults faults;
        private boolean connectFailed;

        NewConnection(long number, Faults faults) {
            super(new Opening(Kind.REPLY, number, REQUEST_BYTES), true, faults);
            this.faults = faults;
        }

        boolean isDone() {
            return connectFailed || hasFailed() || hasEnded();
        }

        void failConnect(String reason) {
            if (!isDone()) {
                connectFailed = true;
                faults.add(Fault.CONNECT, "new connection %d: %s".formatted(opening.connection(), reason));
                channel().close();
            }
        }

        @Override
        public void channelActive(ChannelHandlerContext context) {
            context.write(opening.encode(context.alloc()), context.voidPromise());
            send(REQUEST_BYTES);
        }

        @Override
        void onReceived(int bytes) {
            if (received() == REQUEST_BYTES) {
                times.recordValue(System.nanoTime() - startNanos);
            }
        }

        @Override
        boolean onFin() {
            finish();
            return connectFailed || received() == REQUEST_BYTES;
        }
    }
}
