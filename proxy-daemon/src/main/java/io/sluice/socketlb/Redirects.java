package io.sluice.socketlb;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.socketlb.MapFormat.FrontendEntry;
import io.sluice.socketlb.MapFormat.Pair;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * The frontends in the maps, with their endpoints. No connection ever sees a half-written frontend: a change writes a new
 * set of endpoints, and then replaces the frontend's entry, which refers to the set. The old set is removed at least a
 * second later, when no program reads it any more. Not thread-safe, except for the methods that say so.
 */
final class Redirects {
    static final long RECLAIM_AFTER_NANOS = TimeUnit.SECONDS.toNanos(1);

    /**
     * The maps.
     *
     * @param frontends {@code struct address} to {@code struct frontend}
     * @param endpoints {@code struct set_index} to {@code struct set_entry}
     * @param cursors {@code struct address} to the round-robin position
     * @param members {@code struct pair} of frontends with session affinity
     */
    record Maps(BpfMap frontends, BpfMap endpoints, BpfMap cursors, BpfMap members) {}

    private record Installed(FrontendEntry entry, List<Endpoint> endpoints) {
        /** The endpoints that the map of members contains. */
        List<Endpoint> members() {
            return entry.affinitySeconds() > 0 ? endpoints : List.of();
        }
    }

    private record Retired(long set, int count, long atNanos) {}

    private static final byte[] PRESENT = {1};

    private final Maps maps;
    private final LongSupplier nanoClock;
    private final Map<FrontendAddress, Installed> installed = new ConcurrentHashMap<>();
    private final Deque<Retired> retired = new ArrayDeque<>();
    private long nextSet = 1;

    Redirects(Maps maps, LongSupplier nanoClock) {
        this.maps = maps;
        this.nanoClock = nanoClock;
    }

    /** Reads what the maps contain, so that only differences are written. */
    void adopt() throws BpfException {
        Map<Long, TreeMap<Integer, Endpoint>> sets = new HashMap<>();
        maps.endpoints().forEach((key, value) -> {
            ByteBuffer at = ByteBuffer.wrap(key).order(value.order());
            sets.computeIfAbsent(at.getLong(0), set -> new TreeMap<>())
                    .put(at.getInt(Long.BYTES), MapFormat.entryEndpoint(value));
        });
        maps.frontends().forEach((key, value) -> {
            FrontendEntry entry = FrontendEntry.of(value);
            TreeMap<Integer, Endpoint> set = sets.remove(entry.set());
            // Null values cannot occur: the indexes of a complete set are 0 to its size - 1.
            List<Endpoint> endpoints =
                    set != null && set.size() == entry.count() ? List.copyOf(set.values()) : List.of();
            installed.put(MapFormat.frontendAt(ByteBuffer.wrap(key), 0), new Installed(entry, endpoints));
            nextSet = Math.max(nextSet, entry.set() + 1);
        });
        // What is left belongs to frontends that were being replaced.
        sets.forEach((set, endpoints) -> {
            retired.add(new Retired(set, endpoints.lastKey() + 1, nanoClock.getAsLong()));
            nextSet = Math.max(nextSet, set + 1);
        });
        removeLeftovers();
    }

    /**
     * Removes what a process has left that was killed in the middle of a change. With such a member, clients would stay on
     * an endpoint that is gone.
     */
    private void removeLeftovers() throws BpfException {
        Set<Pair> pairs = new HashSet<>();
        installed.forEach(
                (frontend, entry) -> entry.members().forEach(endpoint -> pairs.add(new Pair(frontend, endpoint))));
        List<byte[]> members = new ArrayList<>();
        maps.members().forEach((key, value) -> {
            if (!pairs.contains(Pair.of(ByteBuffer.wrap(key), 0))) {
                members.add(key);
            }
        });
        maps.members().removeAll(members);
        List<byte[]> cursors = new ArrayList<>();
        maps.cursors().forEach((key, value) -> {
            if (!installed.containsKey(MapFormat.frontendAt(ByteBuffer.wrap(key), 0))) {
                cursors.add(key);
            }
        });
        maps.cursors().removeAll(cursors);
    }

    /** Whether connections to a frontend are redirected. Thread-safe. */
    boolean contains(FrontendAddress frontend) {
        return installed.containsKey(frontend);
    }

    /** The number of frontends in the maps. Thread-safe. */
    int size() {
        return installed.size();
    }

    Set<FrontendAddress> frontends() {
        return Set.copyOf(installed.keySet());
    }

    /** Whether connections to a frontend can get an endpoint. */
    boolean contains(Pair pair) {
        Installed entry = installed.get(pair.frontend());
        return entry != null && entry.endpoints.contains(pair.endpoint());
    }

    /**
     * Redirects connections to a frontend to these endpoints.
     *
     * @param endpoints not empty, without duplicates
     * @throws BpfException if the kernel rejects the change; the frontend is then not redirected
     */
    void put(FrontendAddress frontend, List<Endpoint> endpoints, int affinitySeconds) throws BpfException {
        Installed before = installed.get(frontend);
        if (before != null && before.endpoints.equals(endpoints) && before.entry.affinitySeconds() == affinitySeconds) {
            return;
        }
        long set = nextSet++;
        try {
            write(frontend, before, set, endpoints, affinitySeconds);
        } catch (BpfException e) {
            // The old endpoints may be gone, so the forwarder serves the frontend.
            undo(frontend, before, set, endpoints, e);
            throw e;
        }
    }

    private void write(
            FrontendAddress frontend,
            @Nullable Installed before,
            long set,
            List<Endpoint> endpoints,
            int affinitySeconds)
            throws BpfException {
        List<BpfMap.Entry> entries = new ArrayList<>(endpoints.size());
        for (int i = 0; i < endpoints.size(); i++) {
            entries.add(
                    new BpfMap.Entry(MapFormat.setIndex(set, i), MapFormat.setEntry(set, endpoints.get(i), frontend)));
        }
        maps.endpoints().putAll(entries);
        byte[] key = MapFormat.address(frontend);
        maps.cursors().putIfAbsent(key, MapFormat.cursor(0));
        int offset = before == null ? 0 : offset(key, before, endpoints);
        Installed after = new Installed(
                new FrontendEntry(set, endpoints.size(), offset, affinitySeconds), List.copyOf(endpoints));
        Set<Endpoint> added = new HashSet<>(after.members());
        Set<Endpoint> removed = new HashSet<>(before == null ? List.of() : before.members());
        Set<Endpoint> both = new HashSet<>(added);
        both.retainAll(removed);
        added.removeAll(both);
        removed.removeAll(both);
        maps.members()
                .putAll(added.stream()
                        .map(endpoint -> new BpfMap.Entry(new Pair(frontend, endpoint).toBytes(), PRESENT))
                        .toList());
        maps.frontends().put(key, after.entry.toBytes());
        installed.put(frontend, after);
        if (before != null) {
            retire(before.entry);
        }
        maps.members().removeAll(pairs(frontend, removed));
    }

    private static List<byte[]> pairs(FrontendAddress frontend, Set<Endpoint> endpoints) {
        return endpoints.stream()
                .map(endpoint -> new Pair(frontend, endpoint).toBytes())
                .toList();
    }

    /** The offset with which the next connection gets the first endpoint, from the old position on, that remains. */
    private int offset(byte[] key, Installed before, List<Endpoint> endpoints) throws BpfException {
        ByteBuffer value = maps.cursors().get(key);
        if (value == null || before.endpoints.isEmpty()) {
            return 0;
        }
        long cursor = value.getLong(0);
        int start = 0;
        int turn = before.entry.index(cursor);
        Map<Endpoint, Integer> indexes = new HashMap<>();
        for (int i = 0; i < endpoints.size(); i++) {
            indexes.put(endpoints.get(i), i);
        }
        for (int i = 0; i < before.endpoints.size(); i++) {
            Integer index = indexes.get(before.endpoints.get((turn + i) % before.endpoints.size()));
            if (index != null) {
                start = index;
                break;
            }
        }
        int count = endpoints.size();
        return Math.floorMod(start - (int) Long.remainderUnsigned(cursor, count), count);
    }

    private void undo(
            FrontendAddress frontend,
            @Nullable Installed before,
            long set,
            List<Endpoint> endpoints,
            BpfException cause) {
        Set<Endpoint> members = new HashSet<>(endpoints);
        members.addAll(before == null ? List.of() : before.members());
        try {
            remove(frontend);
            // Also when the frontend was new: its cursor and members are left.
            maps.cursors().remove(MapFormat.address(frontend));
            maps.members().removeAll(pairs(frontend, members));
            maps.endpoints().removeAll(keys(set, endpoints.size()));
        } catch (BpfException e) {
            cause.addSuppressed(e);
        }
    }

    /** Lets connections to a frontend go through the forwarder. */
    void remove(FrontendAddress frontend) throws BpfException {
        Installed before = installed.get(frontend);
        if (before != null) {
            byte[] key = MapFormat.address(frontend);
            maps.frontends().remove(key);
            installed.remove(frontend);
            retire(before.entry);
            maps.cursors().remove(key);
            maps.members().removeAll(pairs(frontend, Set.copyOf(before.members())));
        }
    }

    private void retire(FrontendEntry entry) {
        retired.add(new Retired(entry.set(), entry.count(), nanoClock.getAsLong()));
    }

    /** Removes the sets that no program reads any more. */
    void reclaim() throws BpfException {
        long now = nanoClock.getAsLong();
        while (!retired.isEmpty() && now - Objects.requireNonNull(retired.peek()).atNanos >= RECLAIM_AFTER_NANOS) {
            Retired set = retired.remove();
            maps.endpoints().removeAll(keys(set.set, set.count));
        }
    }

    private static List<byte[]> keys(long set, int count) {
        byte[][] keys = new byte[count][];
        Arrays.setAll(keys, index -> MapFormat.setIndex(set, index));
        return List.of(keys);
    }
}
