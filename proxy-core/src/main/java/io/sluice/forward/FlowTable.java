package io.sluice.forward;

import io.sluice.model.AddressHash;
import io.sluice.model.IpAddress;
import java.net.Inet6Address;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Hash table that maps clients to flows, for one listener. The key is the client's address, port and, if the address is
 * link-local, interface. The table grows and shrinks with the number of flows. Used only by the loop's thread.
 *
 * <p>A lookup allocates nothing, and its cost does not depend on the addresses that clients choose. The JDK exposes the
 * 128 bits of an IPv6 address only as a copy; without copying, only the sum of its four words is available. Flows are
 * therefore placed by a keyed hash of that sum and the port. Clients can choose addresses with equal sums, but at most
 * {@link #MAX_SAME_HASH} flows with the same hash are placed in this first table. Further flows go to a second table,
 * keyed by the whole address, so only lookups that miss the first table need the copy.
 *
 * @param <F> the type of a flow
 */
final class FlowTable<F> {
    /**
     * Flows per hash in the first table. Two random addresses have equal sums with a probability of 2<sup>-32</sup>.
     */
    private static final int MAX_SAME_HASH = 4;

    private final Slots<F> bySum = new Slots<>();
    private @Nullable Slots<F> byAddress;

    @Nullable
    F get(InetSocketAddress client) {
        F flow = bySum.get(hashOfSum(client), client);
        return flow != null || byAddress == null ? flow : byAddress.get(hashOfAddress(client), client);
    }

    /** Adds the flow of a client, which must not be in the table yet. */
    void put(InetSocketAddress client, F flow) {
        int hash = hashOfSum(client);
        if (bySum.countWithHash(hash) < MAX_SAME_HASH) {
            bySum.put(hash, client, flow);
            return;
        }
        if (byAddress == null) {
            byAddress = new Slots<>();
        }
        byAddress.put(hashOfAddress(client), client, flow);
    }

    /** Removes this flow. Does nothing if the client has no flow or a different one. */
    void remove(InetSocketAddress client, F flow) {
        if (!bySum.remove(hashOfSum(client), client, flow) && byAddress != null) {
            byAddress.remove(hashOfAddress(client), client, flow);
            if (byAddress.size == 0) {
                byAddress = null;
            }
        }
    }

    int size() {
        return bySum.size + (byAddress == null ? 0 : byAddress.size);
    }

    /** Returns a list of all flows; a copy, so that flows may be removed during iteration. */
    List<F> flows() {
        List<F> all = new ArrayList<>(size());
        bySum.addTo(all);
        if (byAddress != null) {
            byAddress.addTo(all);
        }
        return all;
    }

    private static int hashOfSum(InetSocketAddress client) {
        InetAddress address = client.getAddress();
        // The JDK's hash code is the address itself for IPv4 and the sum of the four words for IPv6.
        return (int) AddressHash.of(address.hashCode(), client.getPort(), scopeId(address));
    }

    private static int hashOfAddress(InetSocketAddress client) {
        IpAddress address = IpAddress.of(client.getAddress());
        long scopeId = scopeId(client.getAddress());
        return (int) AddressHash.of(address.high(), address.low(), scopeId << 16 | client.getPort());
    }

    /**
     * Whether both are the same client. Unlike {@code equals}, distinguishes the interfaces of link-local addresses.
     */
    static boolean isSame(InetSocketAddress one, InetSocketAddress other) {
        return one.getPort() == other.getPort()
                && one.getAddress().equals(other.getAddress())
                && scopeId(one.getAddress()) == scopeId(other.getAddress());
    }

    /** The interface of a link-local address; 0 for other addresses. */
    static int scopeId(InetAddress address) {
        return address instanceof Inet6Address v6 ? v6.getScopeId() : 0;
    }

    /** Largest number of slots that a lookup inspects. For tests. */
    int longestProbe() {
        return bySum.longestProbe() + (byAddress == null ? 0 : byAddress.longestProbe());
    }

    /** Number of slots. For tests. */
    int capacity() {
        return bySum.hashes.length + (byAddress == null ? 0 : byAddress.hashes.length);
    }

    /** Open addressing with linear probing, at most half full. Removal shifts entries back, leaving no tombstones. */
    private static final class Slots<F> {
        private static final int MIN_CAPACITY = 8;
        /** Marks a free slot, in place of a hash. */
        private static final int FREE = 0;

        private int size;
        private int[] hashes = new int[MIN_CAPACITY];
        private @Nullable InetSocketAddress[] clients = new @Nullable InetSocketAddress[MIN_CAPACITY];
        private @Nullable Object[] flows = new @Nullable Object[MIN_CAPACITY];

        @SuppressWarnings("unchecked") // only put adds flows
        @Nullable
        F get(int hash, InetSocketAddress client) {
            int at = find(hash, client);
            return at < 0 ? null : (F) flows[at];
        }

        private int find(int anyHash, InetSocketAddress client) {
            int hash = notFree(anyHash);
            int at = home(hash);
            while (hashes[at] != FREE) {
                InetSocketAddress other = clients[at];
                if (hashes[at] == hash && other != null && isSame(other, client)) {
                    return at;
                }
                at = next(at);
            }
            return -1;
        }

        /** Number of flows with this hash. */
        int countWithHash(int anyHash) {
            int hash = notFree(anyHash);
            int countWithHash = 0;
            for (int at = home(hash); hashes[at] != FREE; at = next(at)) {
                countWithHash += hashes[at] == hash ? 1 : 0;
            }
            return countWithHash;
        }

        void put(int hash, InetSocketAddress client, F flow) {
            if (2 * (size + 1) > hashes.length) {
                resize(2 * hashes.length);
            }
            size++;
            place(notFree(hash), client, flow);
        }

        private void place(int hash, @Nullable InetSocketAddress client, @Nullable Object flow) {
            int at = home(hash);
            while (hashes[at] != FREE) {
                at = next(at);
            }
            set(at, hash, client, flow);
        }

        boolean remove(int hash, InetSocketAddress client, F flow) {
            int at = find(hash, client);
            if (at < 0 || flows[at] != flow) {
                return false;
            }
            size--;
            close(at);
            if (hashes.length > MIN_CAPACITY && 8 * size < hashes.length) {
                resize(hashes.length / 2);
            }
            return true;
        }

        /**
         * Frees a slot. Moves later entries of the same probe sequence back, so that lookups starting at their home
         * slot still find them.
         */
        private void close(int slot) {
            int gap = slot;
            for (int at = next(gap); hashes[at] != FREE; at = next(at)) {
                int fromHome = at - home(hashes[at]) & hashes.length - 1;
                int fromGap = at - gap & hashes.length - 1;
                if (fromHome >= fromGap) {
                    set(gap, hashes[at], clients[at], flows[at]);
                    gap = at;
                }
            }
            set(gap, FREE, null, null);
        }

        private void set(int at, int hash, @Nullable InetSocketAddress client, @Nullable Object flow) {
            hashes[at] = hash;
            clients[at] = client;
            flows[at] = flow;
        }

        private void resize(int length) {
            int[] oldHashes = hashes;
            @Nullable InetSocketAddress[] oldClients = clients;
            @Nullable Object[] oldFlows = flows;
            hashes = new int[length];
            clients = new @Nullable InetSocketAddress[length];
            flows = new @Nullable Object[length];
            for (int at = 0; at < oldHashes.length; at++) {
                if (oldHashes[at] != FREE) {
                    place(oldHashes[at], oldClients[at], oldFlows[at]);
                }
            }
        }

        @SuppressWarnings("unchecked") // only put adds flows
        void addTo(List<F> all) {
            for (Object flow : flows) {
                if (flow != null) {
                    all.add((F) flow);
                }
            }
        }

        int longestProbe() {
            int longest = 0;
            for (int at = 0; at < hashes.length; at++) {
                if (hashes[at] != FREE) {
                    longest = Math.max(longest, 1 + (at - home(hashes[at]) & hashes.length - 1));
                }
            }
            return longest;
        }

        private static int notFree(int hash) {
            return hash == FREE ? 1 : hash;
        }

        private int home(int hash) {
            return hash & hashes.length - 1;
        }

        private int next(int at) {
            return at + 1 & hashes.length - 1;
        }
    }
}
