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
 * Starts threads, restarts those that die, and reports those that have failed.
 *
 * <p>If a thread dies from an exception or an {@link Error}, the cause is logged and the thread is restarted. A thread
 * that dies repeatedly, cannot be restarted or is stuck is reported by {@link #failures}, which makes {@code /livez}
 * fail. All threads are daemon threads. Thread-safe.
 */
public final class Supervisor {
    private final LongSupplier nanoClock;
    private final Set<Supervised> supervised = ConcurrentHashMap.newKeySet();

    /** A part of the process that can fail. */
    interface Supervised {
        String name();

        /** The reason for the failure; empty while this part works. */
        Optional<String> failure(long nowNanos);
    }

    /** The work of a thread. It should return when the thread is interrupted. */
    @FunctionalInterface
    public interface Body {
        void run() throws InterruptedException;
    }

    /**
     * A failed thread.
     *
     * @param thread the name of the thread
     * @param error the reason, as shown by {@code /livez}
     */
    public record Failure(String thread, String error) {}

    /** Creates a supervisor that uses {@link System#nanoTime} as its clock. */
    public Supervisor() {
        this(System::nanoTime);
    }

    /**
     * Creates a supervisor that uses the given clock.
     *
     * @param nanoClock the clock for restart back-off and for detecting stuck threads
     */
    public Supervisor(LongSupplier nanoClock) {
        this.nanoClock = nanoClock;
    }

    /** The current failures, sorted by thread name. */
    public List<Failure> failures() {
        long now = nanoClock.getAsLong();
        return supervised.stream()
                .flatMap(each -> each.failure(now).map(error -> new Failure(each.name(), error)).stream())
                .sorted((a, b) -> a.thread().compareTo(b.thread()))
                .toList();
    }

    /**
     * Starts a thread that runs a body until the returned worker is stopped. If the body returns or throws an exception
     * before that, the body is run again.
     */
    public Worker loop(String name, Body body) {
        return start(new Worker(this, name, body, true));
    }

    /** Starts a thread that runs a body once. If the body throws an exception, the body is run again. */
    public Worker once(String name, Body body) {
        return start(new Worker(this, name, body, false));
    }

    /**
     * Starts a thread that runs a task at once and then repeatedly, with a pause of {@code period} after each run. An
     * exception thrown by the task never ends the thread. The first of consecutive failures with the same exception
     * type is logged, and so is the next success.
     */
    public Worker scheduled(String name, Duration period, Runnable task) {
        return start(new PeriodicWorker(this, name, period, task));
    }

    private Worker start(Worker worker) {
        supervised.add(worker);
        worker.start();
        return worker;
    }

    /** Creates and supervises a factory for a library's threads. The threads of the factory cannot be restarted. */
    public LibraryThreadFactory libraryThreadFactory(String name, ThreadFactory factory) {
        LibraryThreadFactory threads = new LibraryThreadFactory(this, name, factory);
        supervised.add(threads);
        return threads;
    }

    /** Creates a heartbeat that fails if {@link Heartbeat#beat} is not called for longer than {@code limit}. */
    public Heartbeat heartbeat(String name, Duration limit) {
        Heartbeat heartbeat = new Heartbeat(this, name, limit);
        supervised.add(heartbeat);
        return heartbeat;
    }

    /**
     * Runs a short task on a new thread. The returned future completes with the task's result, or with the exception or
     * {@link Error} that the task threw.
     */
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
