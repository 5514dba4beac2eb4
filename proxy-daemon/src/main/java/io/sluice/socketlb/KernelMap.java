package io.sluice.socketlb;

import com.sun.jna.ptr.IntByReference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;

/** A map of the kernel. */
final class KernelMap implements BpfMap {
    private static final long ANY = 0;
    private static final long NO_EXIST = 1;

    /** Entries that one system call reads, at first; a hash bucket with more entries makes the kernel ask for more. */
    private static final int READ_BATCH = 1024;

    private final String name;
    private final int descriptor;
    private final int keySize;
    private final int valueSize;

    /** @param valueSize size of a value; for a per-CPU map, of the values of all CPUs */
    KernelMap(String name, int descriptor, int keySize, int valueSize) {
        this.name = name;
        this.descriptor = descriptor;
        this.keySize = keySize;
        this.valueSize = valueSize;
    }

    private String operation(String verb) {
        return verb + " map " + name;
    }

    @Override
    public @Nullable ByteBuffer get(byte[] key) throws BpfException {
        byte[] value = new byte[valueSize];
        int result = Libbpf.bpf_map_lookup_elem(descriptor, key, value);
        if (result == -BpfException.ENOENT) {
            return null;
        }
        BpfException.check(operation("reading"), result);
        return ByteBuffer.wrap(value).order(ByteOrder.nativeOrder());
    }

    @Override
    public void put(byte[] key, byte[] value) throws BpfException {
        BpfException.check(operation("changing"), Libbpf.bpf_map_update_elem(descriptor, key, value, ANY));
    }

    @Override
    public void putIfAbsent(byte[] key, byte[] value) throws BpfException {
        int result = Libbpf.bpf_map_update_elem(descriptor, key, value, NO_EXIST);
        if (result != -BpfException.EEXIST) {
            BpfException.check(operation("changing"), result);
        }
    }

    @Override
    public void putAll(List<Entry> entries) throws BpfException {
        if (entries.size() == 1) {
            put(entries.get(0).key(), entries.get(0).value());
        } else if (!entries.isEmpty()) {
            ByteBuffer keys = ByteBuffer.allocate(entries.size() * keySize);
            ByteBuffer values = ByteBuffer.allocate(entries.size() * valueSize);
            entries.forEach(entry -> {
                keys.put(entry.key());
                values.put(entry.value());
            });
            IntByReference count = new IntByReference(entries.size());
            BpfException.check(
                    operation("changing"),
                    Libbpf.bpf_map_update_batch(descriptor, keys.array(), values.array(), count, null));
        }
    }

    @Override
    public void remove(byte[] key) throws BpfException {
        int result = Libbpf.bpf_map_delete_elem(descriptor, key);
        if (result != -BpfException.ENOENT) {
            BpfException.check(operation("changing"), result);
        }
    }

    @Override
    public void removeAll(List<byte[]> keys) throws BpfException {
        if (keys.isEmpty()) {
            return;
        }
        ByteBuffer all = ByteBuffer.allocate(keys.size() * keySize);
        keys.forEach(all::put);
        IntByReference count = new IntByReference(keys.size());
        int result = Libbpf.bpf_map_delete_batch(descriptor, all.array(), count, null);
        if (result == -BpfException.ENOENT) {
            // The batch has ended at a key that the map does not contain.
            for (byte[] key : keys) {
                remove(key);
            }
        } else {
            BpfException.check(operation("changing"), result);
        }
    }

    @Override
    public void forEach(BiConsumer<byte[], ByteBuffer> action) throws BpfException {
        int batch = READ_BATCH;
        byte @Nullable [] from = null;
        boolean more = true;
        while (more) {
            byte[] next = new byte[Math.max(keySize, Integer.BYTES)];
            byte[] keys = new byte[batch * keySize];
            byte[] values = new byte[batch * valueSize];
            IntByReference count = new IntByReference(batch);
            int result = Libbpf.bpf_map_lookup_batch(descriptor, from, next, keys, values, count, null);
            if (result == -BpfException.ENOSPC) {
                batch *= 2;
                continue;
            }
            more = result != -BpfException.ENOENT;
            if (more) {
                BpfException.check(operation("reading"), result);
            }
            for (int i = 0; i < count.getValue(); i++) {
                action.accept(
                        Arrays.copyOfRange(keys, i * keySize, (i + 1) * keySize),
                        ByteBuffer.wrap(values, i * valueSize, valueSize)
                                .slice()
                                .order(ByteOrder.nativeOrder()));
            }
            from = next;
        }
    }
}
