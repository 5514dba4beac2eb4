package io.sluice.socketlb;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** A map in memory. Not thread-safe. */
final class FakeMap implements BpfMap {
    /** The calls that change any of several maps, in their order. */
    static final class Journal {
        final List<String> calls = new ArrayList<>();
        /** Runs after each change of a single entry, and sees what a program would see then. */
        Runnable observer;

        private int failing;

        Journal(Runnable observer) {
            this.observer = observer;
        }

        /** Lets one later call fail: 1 for the next one. Like a batch of the kernel, it then has done half its work. */
        void fail(int call) {
            failing = call;
        }

        /** Whether the call that was to fail has not come yet. */
        boolean isFailing() {
            return failing > 0;
        }

        private boolean fails() {
            return failing > 0 && --failing == 0;
        }
    }

    private final String name;
    private final Journal journal;
    private final Map<ByteBuffer, byte[]> entries = new HashMap<>();

    FakeMap(String name, Journal journal) {
        this.name = name;
        this.journal = journal;
    }

    int size() {
        return entries.size();
    }

    boolean contains(byte[] key) {
        return entries.containsKey(ByteBuffer.wrap(key));
    }

    @Override
    public @Nullable ByteBuffer get(byte[] key) {
        byte[] value = entries.get(ByteBuffer.wrap(key));
        return value == null ? null : view(value);
    }

    private static ByteBuffer view(byte[] value) {
        return ByteBuffer.wrap(value.clone()).order(ByteOrder.nativeOrder());
    }

    @Override
    public void put(byte[] key, byte[] value) throws BpfException {
        putAll(List.of(new Entry(key, value)));
    }

    @Override
    public void putIfAbsent(byte[] key, byte[] value) throws BpfException {
        if (!contains(key)) {
            put(key, value);
        }
    }

    @Override
    public void putAll(List<Entry> all) throws BpfException {
        change(
                "put",
                all,
                entry -> entries.put(
                        ByteBuffer.wrap(entry.key().clone()), entry.value().clone()));
    }

    @Override
    public void remove(byte[] key) throws BpfException {
        removeAll(List.of(key));
    }

    @Override
    public void removeAll(List<byte[]> keys) throws BpfException {
        change("remove", keys, key -> entries.remove(ByteBuffer.wrap(key)));
    }

    private <T> void change(String verb, List<T> all, Consumer<T> change) throws BpfException {
        if (all.isEmpty()) {
            return;
        }
        journal.calls.add(verb + " " + name + " " + all.size());
        boolean fails = journal.fails();
        for (T each : fails ? all.subList(0, all.size() / 2) : all) {
            change.accept(each);
            journal.observer.run();
        }
        if (fails) {
            throw BpfException.of("changing map " + name, BpfException.ENOSPC);
        }
    }

    @Override
    public void forEach(BiConsumer<byte[], ByteBuffer> action) {
        Map.copyOf(entries).forEach((key, value) -> {
            byte[] bytes = new byte[key.remaining()];
            key.duplicate().get(bytes);
            action.accept(bytes, view(value));
        });
    }
}
