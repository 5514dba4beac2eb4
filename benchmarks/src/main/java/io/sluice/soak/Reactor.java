package io.sluice.soak;

import java.io.IOException;
import java.nio.channels.SelectableChannel;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.util.Comparator;
import java.util.PriorityQueue;
import java.util.concurrent.TimeUnit;

/**
 * An event loop with one thread, one selector and timers, since the loads have thousands of sockets on two processors.
 */
abstract class Reactor implements AutoCloseable {
    final Tally tally;
    final Selector selector;
    private final Thread thread;
    private final PriorityQueue<Timer> timers = new PriorityQueue<>(Comparator.comparingLong(Timer::atNanos));
    private volatile boolean closed;
    /** Whether no new work may start; work in progress is completed. */
    volatile boolean ending;

    /** Handles the ready operations of a channel. */
    @FunctionalInterface
    interface Handler {
        void onReady(SelectionKey key) throws IOException;
    }

    private record Timer(long atNanos, Runnable task) {}

    Reactor(String name, Tally tally) throws IOException {
        this.tally = tally;
        this.selector = Selector.open();
        this.thread = new Thread(this::run, name);
    }

    void start() {
        thread.start();
    }

    SelectionKey watch(SelectableChannel channel, int ops, Handler handler) throws IOException {
        channel.configureBlocking(false);
        return channel.register(selector, ops, handler);
    }

    void after(long millis, Runnable task) {
        timers.add(new Timer(System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(millis), task));
    }

    /** Runs a task at this rate until the end. After a pause, it catches up by at most a fiftieth of a second. */
    void paced(double perSecond, Runnable task) {
        double[] due = {0};
        long[] last = {System.nanoTime()};
        Runnable[] tick = new Runnable[1];
        double limit = Math.max(1, perSecond / 50);
        tick[0] = () -> {
            long now = System.nanoTime();
            due[0] = Math.min(limit, due[0] + (now - last[0]) / 1e9 * perSecond);
            last[0] = now;
            for (; due[0] >= 1 && !ending; due[0]--) {
                task.run();
            }
            if (!ending) {
                after(perSecond > 200 ? 1 : 5, tick[0]);
            }
        };
        after(0, tick[0]);
    }

    private void run() {
        while (!closed) {
            try {
                Timer next = timers.peek();
                long waitNanos = next == null ? 100_000_000 : next.atNanos - System.nanoTime();
                if (waitNanos > 0) {
                    selector.select(this::handle, Math.max(1, TimeUnit.NANOSECONDS.toMillis(waitNanos)));
                } else {
                    selector.selectNow(this::handle);
                }
                long now = System.nanoTime();
                for (Timer due = timers.peek(); due != null && due.atNanos <= now; due = timers.peek()) {
                    timers.remove(due);
                    due.task.run();
                }
            } catch (IOException | RuntimeException e) {
                fault(e);
            }
        }
    }

    private void handle(SelectionKey key) {
        try {
            if (key.isValid()) {
                ((Handler) key.attachment()).onReady(key);
            }
        } catch (IOException | RuntimeException e) {
            fault(e);
        }
    }

    final void fault(Exception e) {
        StackTraceElement[] trace = e.getStackTrace();
        tally.fault(Tally.Fault.SOAK, e + (trace.length == 0 ? "" : " at " + trace[0]));
    }

    @Override
    public void close() throws IOException {
        closed = true;
        selector.wakeup();
        try {
            thread.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        for (SelectionKey key : selector.keys()) {
            key.channel().close();
        }
        selector.close();
    }
}
