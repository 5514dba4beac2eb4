package io.sluice.handoverbench;

import io.netty.bootstrap.Bootstrap;
import io.netty.channel.EventLoop;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.sluice.handoverbench.Faults.Fault;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.HdrHistogram.Histogram;

/**
 * The established connections: active ones, on which messages are sent at random intervals, and idle ones, which are
 * used only at the end. Has an event loop of its own, so that other load does not delay the measurement.
 */
final class RequestLoad {
    private static final int BATCH = 200;
    private static final int REPLY_SECONDS = 15;
    private static final int TICK_MILLIS = 2;
    private static final int SLOTS = 512;
    private static final int MIN_MESSAGE_BYTES = 1_000;
    private static final int MAX_MESSAGE_BYTES = 2_000;
    /** Numbers of connections of the removed and the waiting Service; a multiple of eight. */
    private static final int REMOVED = 1_000_000;

    private static final int WAITING = 1_100_000;

    private final LoadPlan plan;
    private final Faults faults;
    private final Bootstrap bootstrap;
    private final EventLoop loop;
    private final SplittableRandom random = new SplittableRandom(1);
    /** Active connections by the tick at which their next message is due. */
    private final List<List<RequestConnection>> wheel = new ArrayList<>();

    private final List<RequestConnection> established = new ArrayList<>();
    private final List<RequestConnection> active = new ArrayList<>();
    private final List<RequestConnection> waiting = new ArrayList<>();
    private long startNanos;
    private long tick;
    private volatile boolean running;

    RequestLoad(LoadPlan plan, MultiThreadIoEventLoopGroup loop, Faults faults) {
        this.plan = plan;
        this.faults = faults;
        this.loop = (EventLoop) loop.next();
        this.bootstrap = Worker.client(loop);
        for (int i = 0; i < SLOTS; i++) {
            wheel.add(new ArrayList<>());
        }
    }

    /**
     * Pauses of the active connections in one window.
     *
     * @param open established connections, including idle ones
     * @param active connections of which the pauses are
     */
    record Pauses(int open, long active, long replies, double p50Millis, double p99Millis, double maxMillis) {}

    /** The numbers of connections that replied at the end. */
    record Replied(int established, int ofEstablished, int waiting, int ofWaiting) {}

    /** Opens all connections, in batches, and waits for a reply on each except those that wait for an endpoint. */
    void open(int removed) throws IOException, InterruptedException {
        for (int from = 0; from < plan.connections(); from += BATCH) {
            List<RequestConnection> batch = new ArrayList<>();
            for (int i = from; i < Math.min(from + BATCH, plan.connections()); i++) {
                batch.add(connect(i, plan.frontend(i), plan.client(i)));
            }
            requireReplies(batch);
            established.addAll(batch);
        }
        active.addAll(established.subList(0, plan.active()));
        List<RequestConnection> orphans = new ArrayList<>();
        for (int i = 0; i < removed; i++) {
            orphans.add(connect(REMOVED + 8 * i, plan.removed(), plan.clients().get(0)));
        }
        requireReplies(orphans);
        established.addAll(orphans);
        active.addAll(orphans);
        for (int i = 0; i < plan.waitingConnections(); i++) {
            waiting.add(connect(WAITING + 8 * i, plan.waiting(), plan.clients().get(0)));
        }
    }

    private RequestConnection connect(long number, String to, String from) throws IOException {
        RequestConnection connection = new RequestConnection(number, faults);
        var connected = bootstrap
                .clone()
                .handler(connection)
                .connect(new InetSocketAddress(to, plan.port()), new InetSocketAddress(from, 0))
                .awaitUninterruptibly();
        if (!connected.isSuccess()) {
            throw new IOException("cannot connect to %s from %s".formatted(to, from), connected.cause());
        }
        return connection;
    }

    private void requireReplies(List<RequestConnection> connections) throws IOException, InterruptedException {
        if (awaitReplies(connections) < connections.size()) {
            throw new IOException("no reply on %d new connections: %s"
                    .formatted(connections.size(), faults.summary().details()));
        }
    }

    /** Returns the number of connections whose messages all have a reply. */
    private int awaitReplies(List<RequestConnection> connections) throws InterruptedException {
        CountDownLatch replies = new CountDownLatch(connections.size());
        for (RequestConnection connection : connections) {
            loop.execute(() -> {
                if (connection.hasFailed()) {
                    replies.countDown();
                } else {
                    connection.whenReplied(replies::countDown);
                }
            });
        }
        if (!replies.await(REPLY_SECONDS, TimeUnit.SECONDS)) {
            System.err.println(replies.getCount() + " connections without a reply");
        }
        return (int) connections.stream()
                .filter(each -> !each.hasFailed() && !each.isWaiting())
                .count();
    }

    void start() {
        running = true;
        loop.execute(() -> {
            startNanos = System.nanoTime();
            active.forEach(this::schedule);
            Worker.every(TimeUnit.MILLISECONDS.toNanos(TICK_MILLIS), loop, this::runTicks);
        });
    }

    /** Stops sending; replies still arrive. */
    void stop() {
        running = false;
    }

    /** Schedules the next message after 0.5 to 1.5 intervals. */
    private void schedule(RequestConnection connection) {
        double millis = plan.intervalMillis() * (0.5 + random.nextDouble());
        int ticks = Math.min(SLOTS - 1, Math.max(1, (int) (millis / TICK_MILLIS)));
        wheel.get((int) ((tick + ticks) % SLOTS)).add(connection);
    }

    private void runTicks() {
        long now = (System.nanoTime() - startNanos) / (TICK_MILLIS * 1_000_000L);
        while (running && tick < now) {
            tick++;
            List<RequestConnection> due = wheel.set((int) (tick % SLOTS), new ArrayList<>());
            for (RequestConnection connection : due) {
                connection.request(random.nextInt(MIN_MESSAGE_BYTES, MAX_MESSAGE_BYTES));
                schedule(connection);
            }
        }
    }

    /** Ends the window and returns its pauses. Must be called on the loop. */
    Pauses takePauses() {
        long now = System.nanoTime();
        Histogram pauses = new Histogram(3);
        long replies = 0;
        for (RequestConnection connection : active) {
            long pause = connection.takePauseNanos(now);
            replies += connection.takeReplies();
            if (!connection.hasFailed()) {
                pauses.recordValue(pause);
            }
        }
        int failed =
                (int) established.stream().filter(StreamConnection::hasFailed).count();
        return new Pauses(
                established.size() - failed,
                pauses.getTotalCount(),
                replies,
                pauses.getValueAtPercentile(50) / 1e6,
                pauses.getValueAtPercentile(99) / 1e6,
                pauses.getMaxValue() / 1e6);
    }

    /** Uses every connection once more, then closes it. */
    Replied finish() throws InterruptedException {
        int waitingReplies = awaitReplies(waiting);
        int replies = 0;
        for (int from = 0; from < established.size(); from += BATCH) {
            List<RequestConnection> batch = established.subList(from, Math.min(from + BATCH, established.size()));
            batch.forEach(each -> loop.execute(() -> each.request(MAX_MESSAGE_BYTES)));
            replies += awaitReplies(batch);
        }
        List<RequestConnection> all = new ArrayList<>(established);
        all.addAll(waiting);
        for (RequestConnection connection : all) {
            if (!connection.hasFailed() && connection.isWaiting()) {
                faults.add(Fault.TIMEOUT, "connection " + connection.opening.connection() + ": no reply at the end");
            }
            loop.execute(connection::finish);
        }
        return new Replied(replies, established.size(), waitingReplies, waiting.size());
    }
}
