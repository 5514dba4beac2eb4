package io.sluice.balance;

import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Maglev hashing: consistent hashing of the client address, see <a
 * href="https://research.google/pubs/maglev-a-fast-and-reliable-software-network-load-balancer/">Maglev</a>, section 3.4.
 *
 * <p>A client keeps its endpoint while the list of endpoints is the same, on all nodes and after a restart. If one of
 * 100 endpoints is added or removed, 0.6 % of the clients of the others move. Clients of an endpoint that is ejected, or
 * was tried, get the endpoint of the next table entry.
 *
 * <p>The table depends only on the set of endpoints, and not on a secret. Clients that choose their addresses can
 * therefore choose their endpoint.
 *
 * <p>The table takes 128 KiB for each list of endpoints, and 2 to 4 ms to fill. So it is filled for the first client. If
 * the endpoints change later, the control thread fills the new table before event loops use it.
 */
final class Maglev extends Balancer {
    /** Table size; a prime, so that every skip visits all entries. All nodes and versions must use the same size. */
    static final int SIZE = 65_537;

    /** More endpoints than a table entry can represent; the endpoints beyond get no clients. */
    private static final int MAX_ENDPOINTS = 1 << 16;

    /** After this number of entries, the search continues in the sorted list, which has no duplicates. */
    private static final int MAX_SEARCHED = 256;

    private static final long OFFSET_SEED = 0x9e3779b97f4a7c15L;
    private static final long SKIP_SEED = 0xd1b54a32d192ed03L;
    private static final long CLIENT_SEED = 0x8cb92ba72f3d8dd7L;

    /** The targets, sorted by address and port. */
    private final EndpointTarget[] sorted;
    /** Indexes of sorted targets; null until the first client. */
    private volatile char @Nullable [] filled;

    /** @param before the balancers of the last version of the service port */
    Maglev(List<Endpoint> endpoints, EndpointTarget[] targets, int start, List<Balancer> before) {
        super(endpoints, targets, start);
        sorted = targets.clone();
        Arrays.sort(
                sorted,
                Comparator.comparing((EndpointTarget target) -> target.endpoint.address())
                        .thenComparing(target -> target.endpoint.port()));
        for (Balancer each : before) {
            if (each instanceof Maglev old && old.filled != null) {
                filled = table(sorted);
                break;
            }
        }
    }

    private char[] table() {
        char[] known = filled;
        return known == null ? fill() : known;
    }

    private synchronized char[] fill() {
        char[] table = filled;
        if (table == null) {
            table = table(sorted);
            filled = table;
        }
        return table;
    }

    /**
     * Fills the table. In turn, each endpoint takes the first entry of its permutation that is free. The permutation of
     * an endpoint depends only on its address and port.
     */
    private static char[] table(EndpointTarget[] sorted) {
        int count = Math.min(sorted.length, MAX_ENDPOINTS);
        int[] next = new int[count];
        int[] skip = new int[count];
        for (int i = 0; i < count; i++) {
            Endpoint endpoint = sorted[i].endpoint;
            next[i] = slot(hash(OFFSET_SEED, endpoint.address(), endpoint.port()), SIZE);
            skip[i] = 1 + slot(hash(SKIP_SEED, endpoint.address(), endpoint.port()), SIZE - 1);
        }
        char[] table = new char[SIZE];
        boolean[] taken = new boolean[SIZE];
        for (int filled = 0; filled < SIZE; filled++) {
            int i = filled % count;
            while (taken[next[i]]) {
                next[i] = (next[i] + skip[i]) % SIZE;
            }
            taken[next[i]] = true;
            table[next[i]] = (char) i;
        }
        return table;
    }

    /** Maps a hash to a number from 0 to {@code size - 1}. */
    private static int slot(long hash, int size) {
        return (int) (((hash >>> 32) * size) >>> 32);
    }

    /**
     * A hash whose values never change: all nodes and versions must agree. Unlike {@code AddressHash}, it is not keyed.
     */
    private static long hash(long seed, IpAddress address, int port) {
        long hash = mix(seed ^ address.high());
        hash = mix(hash ^ address.low());
        return mix(hash ^ ((long) address.family().bits() << 32 | port));
    }

    /** The finalizer of SplitMix64. */
    private static long mix(long bits) {
        long mixed = (bits ^ bits >>> 30) * 0xbf58476d1ce4e5b9L;
        mixed = (mixed ^ mixed >>> 27) * 0x94d049bb133111ebL;
        return mixed ^ mixed >>> 31;
    }

    private static int slotOf(IpAddress client) {
        return slot(hash(CLIENT_SEED, client, 0), SIZE);
    }

    @Override
    @Nullable
    EndpointTarget pickAnswering(IpAddress client, List<Endpoint> tried, long nowNanos) {
        char[] table = table();
        int slot = slotOf(client);
        for (int i = 0; i < MAX_SEARCHED; i++) {
            EndpointTarget next = sorted[table[(slot + i) % SIZE]];
            if (next.isFree(tried) && next.allowsAttempt(nowNanos)) {
                return next;
            }
        }
        for (int i = 0; i < targets.length; i++) {
            EndpointTarget next = sorted[(table[slot] + i) % sorted.length];
            if (next.isFree(tried) && next.allowsAttempt(nowNanos)) {
                return next;
            }
        }
        return null;
    }

    /** Picks the endpoint of the client's table entry, or of one of the next entries. */
    @Override
    @Nullable
    EndpointTarget pickAny(IpAddress client, List<Endpoint> tried) {
        char[] table = table();
        int slot = slotOf(client);
        for (int i = 0; i < MAX_SEARCHED; i++) {
            EndpointTarget next = sorted[table[(slot + i) % SIZE]];
            if (next.isFree(tried)) {
                return next;
            }
        }
        return super.pickAny(client, tried);
    }
}
