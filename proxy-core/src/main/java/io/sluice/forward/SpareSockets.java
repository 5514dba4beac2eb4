package io.sluice.forward;

import io.sluice.model.Endpoint;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Sockets of flows that were over after a question or two, each answered, while many flows are open: the next flow
 * between the same addresses gets the one that has been quiet longest. That spares what is most of the work for a single
 * question, to open and to close.
 *
 * <p>What an endpoint says later would be heard by somebody else then. So a socket goes on only to an endpoint that says
 * nothing but answers: the first ones are kept only to see whether they stay silent, and one word unasked ends it for
 * minutes. Belongs to one loop; what is not wanted within a moment is closed.
 */
final class SpareSockets {
    /** How many have to stay silent before one is given on. */
    static final int SAMPLES = 8;

    private static final int MOST_SAMPLES_WAITING = 64;
    private static final long WARY_NANOS = TimeUnit.MINUTES.toNanos(5);
    /** Endpoints come and go; who is forgotten is listened to again. */
    private static final int MOST_ENDPOINTS = 10_000;

    private final Map<FlowSocket.Path, ArrayDeque<FlowSocket>> byPath = new HashMap<>();
    private final Map<Endpoint, Manner> manners = new HashMap<>();
    private final TimeoutQueue waiting;
    private final TimeoutQueue samples;
    private final Flows flows;
    private int samplesWaiting;

    /** How an endpoint has behaved. */
    private static final class Manner {
        int silent;
        int sampled;
        boolean wary;
        long warySinceNanos;

        boolean isWary(long nowNanos) {
            wary = wary && nowNanos - warySinceNanos < WARY_NANOS;
            return wary;
        }
    }

    /**
     * @param waiting where they wait for their end
     * @param samples where those wait that are only listened to, as long
     */
    SpareSockets(TimeoutQueue waiting, TimeoutQueue samples, Flows flows) {
        this.waiting = waiting;
        this.samples = samples;
        this.flows = flows;
    }

    private Manner manner(Endpoint endpoint) {
        if (manners.size() > MOST_ENDPOINTS) {
            manners.clear();
        }
        return manners.computeIfAbsent(endpoint, unknown -> new Manner());
    }

    /** Only sockets whose path is known are kept. */
    private static Endpoint endpoint(FlowSocket socket) {
        return Objects.requireNonNull(socket.path).endpoint();
    }

    /** Keeps one whose flow is over, or closes it. */
    void keep(FlowSocket socket, FlowSocket.Path path, long nowNanos) {
        Manner manner = manner(path.endpoint());
        boolean trusted = manner.silent >= SAMPLES;
        if (manner.isWary(nowNanos)
                || (!trusted && (manner.sampled >= SAMPLES || samplesWaiting >= MOST_SAMPLES_WAITING))) {
            socket.end();
            return;
        }
        socket.serve(null);
        flows.spared();
        if (trusted) {
            byPath.computeIfAbsent(path, unknown -> new ArrayDeque<>()).add(socket);
            waiting.touch(socket, nowNanos);
        } else {
            manner.sampled++;
            samplesWaiting++;
            samples.touch(socket, nowNanos);
        }
    }

    /** One that is spare no more; null if there is none. */
    @Nullable
    FlowSocket take(FlowSocket.Path path, long nowNanos) {
        ArrayDeque<FlowSocket> spare = byPath.get(path);
        if (spare == null || manner(path.endpoint()).isWary(nowNanos)) {
            return null;
        }
        FlowSocket longestQuiet = spare.getFirst();
        if (!longestQuiet.isSilent()) {
            spoke(longestQuiet, nowNanos);
            return null;
        }
        remove(longestQuiet, waiting);
        return longestQuiet;
    }

    /** Makes room for another one; false if none is spare. */
    boolean closeOne() {
        for (TimeoutQueue queue : new TimeoutQueue[] {waiting, samples}) {
            if (queue.oldest() instanceof FlowSocket oldest) {
                remove(oldest, queue);
                oldest.end();
                return true;
            }
        }
        return false;
    }

    /** It was silent to the end. */
    void expire(FlowSocket socket, TimeoutQueue waitedIn) {
        if (waitedIn == samples) {
            manner(endpoint(socket)).silent++;
        }
        remove(socket, waitedIn);
        socket.end();
    }

    /** Something came for nobody, if only an error. */
    void spoke(FlowSocket socket, long nowNanos) {
        TimeoutQueue queue = socket.queue;
        if (queue != null) {
            beWaryOf(endpoint(socket), nowNanos);
            remove(socket, queue);
            socket.end();
        }
    }

    /** It said something unasked. */
    void beWaryOf(Endpoint endpoint, long nowNanos) {
        Manner manner = manner(endpoint);
        manner.silent = 0;
        manner.wary = true;
        manner.warySinceNanos = nowNanos;
    }

    private void remove(FlowSocket socket, TimeoutQueue waitedIn) {
        socket.leaveQueue();
        flows.unspared();
        if (waitedIn == samples) {
            samplesWaiting--;
            Manner manner = manner(endpoint(socket));
            // Forgotten in the meantime, it has none.
            manner.sampled = Math.max(0, manner.sampled - 1);
            return;
        }
        ArrayDeque<FlowSocket> spare = byPath.get(socket.path);
        if (spare != null) {
            spare.removeFirstOccurrence(socket);
            if (spare.isEmpty()) {
                byPath.remove(socket.path);
            }
        }
    }
}
