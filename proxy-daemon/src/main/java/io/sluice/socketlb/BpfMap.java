package io.sluice.socketlb;

import java.nio.ByteBuffer;
import java.util.List;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;

/** A map that a BPF program reads. Keys and values have the format of {@link MapFormat}. Thread-safe. */
interface BpfMap {
    /** An entry of a map. */
    @SuppressWarnings("ArrayRecordComponent") // entries are never compared
    record Entry(byte[] key, byte[] value) {}

    /** Returns the value of a key, or null if the map does not contain it; of a per-CPU map, the values of all CPUs. */
    @Nullable
    ByteBuffer get(byte[] key) throws BpfException;

    /** Adds or replaces an entry. Programs see either the old or the new value. */
    void put(byte[] key, byte[] value) throws BpfException;

    /** Adds an entry unless the map contains the key. */
    void putIfAbsent(byte[] key, byte[] value) throws BpfException;

    /** Adds or replaces entries, not atomically. After a failure, the map may contain some of them. */
    void putAll(List<Entry> entries) throws BpfException;

    /** Removes an entry, if the map contains it. */
    void remove(byte[] key) throws BpfException;

    /** Removes entries; those that the map does not contain are skipped. */
    void removeAll(List<byte[]> keys) throws BpfException;

    /**
     * Passes all entries to an action. May skip entries that are added meanwhile, and pass entries twice that are
     * replaced meanwhile. The action may change the map.
     */
    void forEach(BiConsumer<byte[], ByteBuffer> action) throws BpfException;
}
