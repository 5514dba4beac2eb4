package io.sluice.daemon;

import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * The phase that this process is in. Any thread may read it.
 *
 * <table>
 * <caption>What may follow on what</caption>
 * <tr><td>WAITING</td><td>STARTING, BEATEN</td></tr>
 * <tr><td>STARTING</td><td>SERVING, HANDED_OVER</td></tr>
 * <tr><td>SERVING</td><td>HANDED_OVER</td></tr>
 * <tr><td>any of these</td><td>DRAINING, CLOSED</td></tr>
 * </table>
 */
final class Lifecycle {
    enum Phase {
        /** An old process serves; it is asked to hand over once it is known what to serve. */
        WAITING,
        /** No snapshot has been applied yet. */
        STARTING,
        SERVING,
        /** A new process serves; this one has only its open connections. */
        HANDED_OVER,
        /** The old process goes on, and this one has to end. */
        BEATEN,
        /** Told to end; open connections are waited for. */
        DRAINING,
        CLOSED;

        /** Whether nothing new is served any more. */
        boolean isStopping() {
            return this == HANDED_OVER || this == BEATEN || this == DRAINING || this == CLOSED;
        }

        private boolean mayFollow(Phase before) {
            return switch (this) {
                case WAITING -> false;
                case STARTING -> before == WAITING;
                case SERVING -> before == STARTING;
                case HANDED_OVER -> before == STARTING || before == SERVING;
                case BEATEN -> before == WAITING;
                case DRAINING -> before != DRAINING && before != CLOSED;
                case CLOSED -> before != CLOSED;
            };
        }
    }

    private final CompletableFuture<@Nullable Void> servedElsewhere = new CompletableFuture<>();
    private final boolean alone;
    private volatile Phase phase;
    private volatile boolean tookOver;
    private volatile boolean beaten;

    /** @param anotherServes whether an old process does */
    Lifecycle(boolean anotherServes) {
        alone = !anotherServes;
        phase = anotherServes ? Phase.WAITING : Phase.STARTING;
    }

    Phase phase() {
        return phase;
    }

    boolean is(Phase asked) {
        return phase == asked;
    }

    /** Whether nothing new is served any more. */
    boolean isStopping() {
        return phase.isStopping();
    }

    /** Whether this process took the place of another one. */
    boolean tookOver() {
        return tookOver;
    }

    /** What the old process had is here now, also where this one was told to end meanwhile. */
    void takenOver() {
        tookOver = true;
        enter(Phase.STARTING);
    }

    /** Whether sockets and kernel rules were this process's at any time; also after the end. */
    boolean hasServed() {
        return alone || tookOver;
    }

    /** Whether the old process went on; also after the end. */
    boolean wasBeaten() {
        return beaten;
    }

    /** Whether another process serves what this one did, or would have; also while it drains and after its end. */
    boolean isServedElsewhere() {
        return servedElsewhere.isDone();
    }

    /** Runs this, on the thread that makes it so, when a new process has taken over or the old one goes on. */
    @SuppressWarnings("FutureReturnValueIgnored") // what is run does not fail
    void whenServedElsewhere(Runnable action) {
        servedElsewhere.thenRun(action);
    }

    /** Enters a phase; false, and nothing changes, if it may not follow on the present one. */
    boolean enter(Phase next) {
        synchronized (this) {
            if (!next.mayFollow(phase)) {
                return false;
            }
            beaten |= next == Phase.BEATEN;
            phase = next;
        }
        return true;
    }

    /** What this process had is given away, down to its ports: to be called after {@code HANDED_OVER} or {@code BEATEN}. */
    void givenAway() {
        servedElsewhere.complete(null);
    }
}
