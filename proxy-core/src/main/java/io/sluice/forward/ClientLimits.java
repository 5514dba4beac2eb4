package io.sluice.forward;

import io.sluice.model.AddressHash;
import io.sluice.model.IpAddress;
import io.sluice.socket.Descriptors;
import java.util.concurrent.atomic.AtomicIntegerArray;

/**
 * Limits the descriptors and UDP flows that one client address holds, over all loops. While more than three quarters of
 * the total are in use, a client cannot exceed its share, so that other clients can still connect. Otherwise clients
 * are not limited. Thread-safe.
 *
 * <p>Usage is counted in count-min sketches: two atomic additions, no lock, no allocation, and constant memory for any
 * number of clients. An estimate is never too low, and it is too high only if other clients use both cells of the
 * client. At most four clients can each hold a quarter of the total, so with a share of 25 % the probability that both
 * cells of another client belong to them is at most (4 / 16,384)<sup>2</sup>, or 1 in 17 million. The hash is keyed, so
 * a client cannot choose an address with the same cells as another client.
 */
final class ClientLimits {
    private static final int DESCRIPTORS_PER_SESSION = 2;
    private static final int ALL_PERCENT = 100;
    private static final int MAX_HEADER_WAITS = 1024;

    private final int percent;
    private final FlowLimit flowLimit;
    private final Sketch descriptors = new Sketch();
    private final Sketch flows = new Sketch();
    private final Sketch headerWaits = new Sketch();

    /** @param percent the share of one client, 1 to 100; 100 means no limit */
    ClientLimits(int percent, FlowLimit flowLimit) {
        this.percent = percent;
        this.flowLimit = flowLimit;
    }

    int percent() {
        return percent;
    }

    boolean allowsSession(IpAddress client) {
        return !Descriptors.areScarce()
                || isWithinShare(descriptors, client, DESCRIPTORS_PER_SESSION, Descriptors.max());
    }

    boolean allowsFlow(IpAddress client) {
        return (!flowLimit.isScarce() || isWithinShare(flows, client, 1, flowLimit.max()))
                && (!Descriptors.areScarce() || isWithinShare(descriptors, client, 1, Descriptors.max()));
    }

    private boolean isWithinShare(Sketch held, IpAddress client, int more, long max) {
        // A client that holds nothing is served even if its share is less than one connection.
        return percent == ALL_PERCENT || held.of(client) + more <= Math.max(more, max * percent / ALL_PERCENT);
    }

    void sessionOpened(IpAddress client) {
        descriptors.add(client, DESCRIPTORS_PER_SESSION);
    }

    void sessionClosed(IpAddress client) {
        descriptors.add(client, -DESCRIPTORS_PER_SESSION);
    }

    void flowOpened(IpAddress client) {
        descriptors.add(client, 1);
        flows.add(client, 1);
    }

    void flowClosed(IpAddress client) {
        descriptors.add(client, -1);
        flows.add(client, -1);
    }

    /**
     * Counts a connection that waits for a PROXY protocol header. Returns false if the peer has too many of them; each
     * holds a descriptor before it was admitted by any other limit.
     */
    boolean tryWaitForHeader(IpAddress peer) {
        if (headerWaits.of(peer) >= MAX_HEADER_WAITS) {
            return false;
        }
        headerWaits.add(peer, 1);
        return true;
    }

    void endWaitForHeader(IpAddress peer) {
        headerWaits.add(peer, -1);
    }

    /** Whether no client holds a descriptor or a flow. For tests. */
    boolean areEmpty() {
        return descriptors.isEmpty() && flows.isEmpty() && headerWaits.isEmpty();
    }

    private static final class Sketch {
        private static final int CELLS_PER_ROW = 1 << 14;

        private final AtomicIntegerArray cells = new AtomicIntegerArray(2 * CELLS_PER_ROW);

        void add(IpAddress client, int amount) {
            long hash = hash(client);
            cells.getAndAdd(first(hash), amount);
            cells.getAndAdd(second(hash), amount);
        }

        int of(IpAddress client) {
            long hash = hash(client);
            return Math.min(cells.get(first(hash)), cells.get(second(hash)));
        }

        private static long hash(IpAddress client) {
            return AddressHash.of(client.high(), client.low(), 0);
        }

        private static int first(long hash) {
            return (int) hash & CELLS_PER_ROW - 1;
        }

        private static int second(long hash) {
            return CELLS_PER_ROW + ((int) (hash >>> Integer.SIZE) & CELLS_PER_ROW - 1);
        }

        boolean isEmpty() {
            for (int i = 0; i < cells.length(); i++) {
                if (cells.get(i) != 0) {
                    return false;
                }
            }
            return true;
        }
    }
}
