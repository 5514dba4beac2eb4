package io.sluice.thread;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadFactory;
import java.util.function.LongSupplier;

/**
 * Starts threads and knows which of them no longer do their work.
 *
 * <p>A thread that dies from an exception or an {@link Error} is logged and restarted; one that keeps dying, that cannot be
 * restarted or that is stuck is among the {@link #failures}, by which {@code /livez} fails. All threads are daemon threads.
 * Safe for use by any thread.
 */
public final class Supervisor {
    private final LongSupplier nanoClock;
    private final Set<Supervised> supervised = ConcurrentHashMap.newKeySet();

    /** Part of the process that may fail. */
    interface Supervised {
        String name();

        /** Why it does not do its work; empty while it does. */
        Optional<String> failure(long nowNanos);
    }

    /** What a thread does until it is told to end. */
    @FunctionalInterface
    public interface Body {
        void run() throws InterruptedException;
    }

    /**
     * A thread that does not do its work.
     *
     * @param error why, for people
     */
    public record Failure(String thread, String error) {}

    public Supervisor() {
        this(System::nanoTime);
    }

    /** @param nanoClock for back-off and for what is stuck */
    public Supervisor(LongSupplier nanoClock) {
        this.nanoClock = nanoClock;
    }

    /** What does not work now, ordered by name. */
    public List<Failure> failures() {
        long now = nanoClock.getAsLong();
        return supervised.stream()
                .flatMap(each -> each.failure(now).map(error -> new Failure(each.name(), error)).stream())
                .sorted((a, b) -> a.thread().compareTo(b.thread()))
                .toList();
    }

    /** Starts a thread whose body runs until the worker is stopped. A body that ends before, however it does, is run again. */
    public Worker loop(String name, Body body) {
        return start(new Worker(this, name, body, true));
    }

    /** Starts a thread whose body runs to its end once. A body that ends by an exception is run again. */
    public Worker once(String name, Body body) {
        return start(new Worker(this, name, body, false));
    }

    /**
     * Starts a thread that runs a task now and then again, with a pause of {@code period} in between. What the task throws
     * is logged when it begins and when it is over, and never ends the thread.
     */
    public Worker scheduled(String name, Duration period, Runnable task) {
        return start(new Periodic(this, name, period, task));
    }

    private Worker start(Worker worker) {
        supervised.add(worker);
        worker.start();
        return worker;
    }

    /** Has the threads of a library that starts its own: they cannot be restarted. */
    public LibraryThreads libraryThreads(String name, ThreadFactory factory) {
        LibraryThreads threads = new LibraryThreads(this, name, factory);
        supervised.add(threads);
        return threads;
    }

    /** Watches something that has to beat at least once within {@code limit}, from now on. */
    public Heartbeat heartbeat(String name, Duration limit) {
        Heartbeat heartbeat = new Heartbeat(this, name, limit);
        supervised.add(heartbeat);
        return heartbeat;
    }

    /** Runs a short task on a thread of its own. How it ends, by an {@link Error} too, is the future's to tell. */
    public static <T> CompletableFuture<T> call(String name, Callable<T> task) {
        CompletableFuture<T> result = new CompletableFuture<>();
        newThread(name, () -> {
                    try {
                        result.complete(task.call());
                    } catch (Throwable t) {
                        result.completeExceptionally(t);
                    }
                })
                .start();
        return result;
    }

    static Thread newThread(String name, Runnable body) {
        Thread thread = new Thread(body, name);
        thread.setDaemon(true);
        return thread;
    }

    long now() {
        return nanoClock.getAsLong();
    }

    void remove(Supervised part) {
        supervised.remove(part);
    }
}
