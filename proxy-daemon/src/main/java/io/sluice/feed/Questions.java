package io.sluice.feed;

import java.time.Duration;
import java.util.Queue;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Questions that other threads ask the control thread, which answers them between two snapshots. Thread-safe. */
final class Questions {
    private static final Duration TIMEOUT = Duration.ofSeconds(2);

    private final Queue<FutureTask<?>> asked = new ConcurrentLinkedQueue<>();
    private volatile boolean closed;

    boolean isEmpty() {
        return asked.isEmpty();
    }

    /**
     * Waits until the control thread has run a task.
     *
     * @param wakeUp wakes up the control thread
     * @throws NotNowException if the control thread has stopped, rejects the task, or does not run it in time
     * @throws IllegalStateException if the task fails
     */
    void ask(Runnable task, Runnable wakeUp) {
        FutureTask<?> question = new FutureTask<>(task, null);
        asked.add(question);
        if (closed) {
            question.cancel(false);
        }
        wakeUp.run();
        try {
            question.get(TIMEOUT.toSeconds(), TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (CancellationException e) {
            throw new NotNowException(
                    closed ? "the process is stopping" : "the latest state has not been applied yet, see /readyz");
        } catch (TimeoutException e) {
            throw new NotNowException("a change is being applied; try again");
        } catch (ExecutionException e) {
            throw new IllegalStateException("the question could not be answered", e);
        } finally {
            question.cancel(false);
            asked.remove(question);
        }
    }

    /** Cancels all tasks, and those that are asked later. */
    void close() {
        closed = true;
        for (FutureTask<?> question = asked.poll(); question != null; question = asked.poll()) {
            question.cancel(false);
        }
    }

    /**
     * Runs or rejects all tasks, and returns whether there were any. Called on the control thread.
     *
     * @param ready whether the tasks may run now
     */
    boolean answer(boolean ready) {
        boolean any = false;
        for (FutureTask<?> question = asked.poll(); question != null; question = asked.poll()) {
            if (ready) {
                question.run();
            } else {
                question.cancel(false);
            }
            any = true;
        }
        return any;
    }
}
