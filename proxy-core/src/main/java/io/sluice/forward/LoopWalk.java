package io.sluice.forward;

import io.netty.util.concurrent.Future;
import io.netty.util.concurrent.Promise;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;

/**
 * Visits the entries of a {@link LoopList} on the loop's thread, a limited number per turn, so that forwarding is never
 * delayed by more than a fraction of a millisecond. Between two turns, the walk itself is an entry of the list and marks
 * the position, whatever is added or removed meanwhile.
 */
final class LoopWalk extends ListEntry implements Runnable {
    /** Number of entries visited before the loop handles its sockets. */
    private static final int ENTRIES_PER_TURN = 256;

    private final Loop loop;
    private final LoopList list;
    private final Predicate<ListEntry> visitor;
    private final Promise<Void> done;
    private boolean started;

    private LoopWalk(Loop loop, LoopList list, Predicate<ListEntry> visitor) {
        this.loop = loop;
        this.list = list;
        this.visitor = visitor;
        this.done = loop.executor.newPromise();
    }

    /**
     * Starts a walk. May be called on any thread.
     *
     * @param visitor called on the loop's thread for each entry; may end the entry. Returns false to end the walk
     */
    static Future<Void> start(Loop loop, LoopList list, Predicate<ListEntry> visitor) {
        LoopWalk walk = new LoopWalk(loop, list, visitor);
        try {
            loop.executor.execute(walk);
        } catch (RejectedExecutionException e) {
            // The future's listeners run on the loop, which has ended; this caller only waits for it.
            walk.done.setFailure(e);
        }
        return walk.done;
    }

    @Override
    public void run() {
        try {
            turn();
        } catch (RuntimeException | Error fault) {
            done.tryFailure(fault);
        }
    }

    /**
     * Continues after the loop has handled its sockets. A task that is executed would run before that, because the loop
     * runs all its tasks in a row; a scheduled task becomes one only in the next round.
     */
    private void nextTurn() {
        loop.executor.schedule(this, 1, TimeUnit.NANOSECONDS).addListener(scheduled -> {
            if (scheduled.isCancelled()) {
                done.tryFailure(new RejectedExecutionException("the event loop has ended"));
            }
        });
    }

    private void turn() {
        ListEntry next = started ? after : list.first();
        if (started) {
            list.remove(this);
        }
        started = true;
        for (int visited = 0; next != null; visited++) {
            ListEntry entry = next;
            if (visited == ENTRIES_PER_TURN) {
                list.addBefore(this, entry);
                nextTurn();
                return;
            }
            next = entry.after;
            if (!(entry instanceof LoopWalk) && !visitor.test(entry)) {
                break;
            }
        }
        done.setSuccess(null);
    }
}
