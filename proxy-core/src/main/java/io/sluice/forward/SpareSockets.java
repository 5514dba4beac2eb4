package io.sluice.forward;

import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Sockets of flows that were over after a question or two, each answered, while many flows are open: the next flow
 * between the same addresses gets the one that has been quiet longest, and with it the local port that the kernel might
 * have given it anyway. That spares what is most of the work for a single question, to open and to close. Belongs to one
 * loop; what is not wanted within a moment is closed.
 */
final class SpareSockets {
    private final Map<FlowSocket.Path, ArrayDeque<FlowSocket>> byPath = new HashMap<>();
    private final TimeoutQueue waiting;
    private final Flows flows;

    /** @param waiting where they wait for their end */
    SpareSockets(TimeoutQueue waiting, Flows flows) {
        this.waiting = waiting;
        this.flows = flows;
    }

    void keep(FlowSocket socket, FlowSocket.Path path, long nowNanos) {
        socket.serve(null);
        byPath.computeIfAbsent(path, unknown -> new ArrayDeque<>()).add(socket);
        waiting.touch(socket, nowNanos);
        flows.spared();
    }

    /** One that is spare no more; null if there is none. */
    @Nullable
    FlowSocket take(FlowSocket.Path path) {
        ArrayDeque<FlowSocket> spare = byPath.get(path);
        if (spare == null) {
            return null;
        }
        FlowSocket longestQuiet = spare.getFirst();
        remove(longestQuiet);
        return longestQuiet;
    }

    /** Makes room for another one; false if none is spare. */
    boolean closeOne() {
        if (waiting.oldest() instanceof FlowSocket oldest) {
            remove(oldest);
            oldest.end();
            return true;
        }
        return false;
    }

    /** Is spare no more. */
    void remove(FlowSocket socket) {
        socket.leaveQueue();
        flows.unspared();
        ArrayDeque<FlowSocket> spare = byPath.get(socket.path);
        if (spare != null) {
            spare.removeFirstOccurrence(socket);
            if (spare.isEmpty()) {
                byPath.remove(socket.path);
            }
        }
    }
}
