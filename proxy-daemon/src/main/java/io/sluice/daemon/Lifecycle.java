package io.sluice.daemon;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.locks.Lock;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;

/**
 * Current phase of this process. Any thread may read it.
 *
 * <table>
 * <caption>Permitted transitions</caption>
 * <tr><td>WAITING</td><td>STARTING, HANDOVER_FAILED</td></tr>
 * <tr><td>STARTING</td><td>SERVING, HANDED_OVER</td></tr>
 * <tr><td>SERVING</td><td>HANDED_OVER</td></tr>
 * <tr><td>any but CLOSED</td><td>DRAINING, CLOSED</td></tr>
 * </table>
 */
final class Lifecycle {
    enum Phase {
        /** The old process serves; the handover is requested after the first sync. */
        WAITING,
        /** No snapshot has been applied yet. */
        STARTING,
        /** A snapshot has been applied, and this process accepts new connections. */
        SERVING,
        /** The new process serves; only the open connections of this process remain. */
        HANDED_OVER,
        /** The handover failed: the old process continues to serve, and this one must exit. */
        HANDOVER_FAILED,
        /** This process is shutting down and waits for open connections to finish. */
        DRAINING,
        /** Everything is closed. */
        CLOSED;

        /** Returns whether a process in this phase no longer serves new connections. */
        boolean isStopping() {
            return this == HANDED_OVER || this == HANDOVER_FAILED || this == DRAINING || this == CLOSED;
        }

        private boolean mayFollow(Phase before) {
            return switch (this) {
                case WAITING -> false;
                case STARTING -> before == WAITING;
                case SERVING -> before == STARTING;
                case HANDED_OVER -> before == STARTING || before == SERVING;
                case HANDOVER_FAILED -> before == WAITING;
                case DRAINING -> before != DRAINING && before != CLOSED;
                case CLOSED -> before != CLOSED;
            };
        }
    }

    private final CompletableFuture<@Nullable Void> servedElsewhere = new CompletableFuture<>();
    private final BiConsumer<Phase, Phase> phaseChanged;
    private final boolean startedAlone;
    private volatile Phase phase;
    private volatile boolean hasReceivedHandover;
    private volatile boolean handoverFailed;

    /**
     * Creates a lifecycle in its first phase.
     *
     * @param anotherServes whether an old process is serving
     * @param phaseChanged called with the phases before and after each transition, one at a time; must not block
     */
    Lifecycle(boolean anotherServes, BiConsumer<Phase, Phase> phaseChanged) {
        this.phaseChanged = phaseChanged;
        startedAlone = !anotherServes;
        phase = anotherServes ? Phase.WAITING : Phase.STARTING;
    }

    Phase phase() {
        return phase;
    }

    boolean is(Phase expected) {
        return phase == expected;
    }

    /** Returns whether this process no longer serves new connections. */
    boolean isStopping() {
        return phase.isStopping();
    }

    /** Returns whether this process has received a handover. */
    boolean hasReceivedHandover() {
        return hasReceivedHandover;
    }

    /** Records that the handover was received, even if this process was stopped in the meantime. */
    void handoverReceived() {
        hasReceivedHandover = true;
        enter(Phase.STARTING);
    }

    /** Returns whether this process ever owned the sockets and kernel rules; also valid after it is closed. */
    boolean hasServed() {
        return startedAlone || hasReceivedHandover;
    }

    /** Returns whether a handover to this process failed; also valid after it is closed. */
    boolean handoverFailed() {
        return handoverFailed;
    }

    /** Returns whether another process serves instead of this one; also valid while draining and after closing. */
    boolean isServedElsewhere() {
        return servedElsewhere.isDone();
    }

    /** Runs an action after a completed or failed handover, on the thread that calls {@link #released}. */
    @SuppressWarnings("FutureReturnValueIgnored") // the action does not fail
    void whenServedElsewhere(Runnable action) {
        servedElsewhere.thenRun(action);
    }

    /** Runs a task with a lock held if the phase is {@code SERVING} and the lock is free; otherwise drops the task. */
    void whileServing(Lock lock, Runnable task) {
        if (lock.tryLock()) {
            try {
                if (is(Phase.SERVING)) {
                    task.run();
                }
            } finally {
                lock.unlock();
            }
        }
    }

    /** Enters a phase; returns false and changes nothing if the transition is not permitted. */
    boolean enter(Phase next) {
        synchronized (this) {
            if (!next.mayFollow(phase)) {
                return false;
            }
            handoverFailed |= next == Phase.HANDOVER_FAILED;
            Phase before = phase;
            phase = next;
            phaseChanged.accept(before, next);
        }
        return true;
    }

    /** Records that everything, including the HTTP ports, has been released after a completed or failed handover. */
    void released() {
        servedElsewhere.complete(null);
    }
}
