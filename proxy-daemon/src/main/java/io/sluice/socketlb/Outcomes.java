package io.sluice.socketlb;

import com.sun.jna.Native;
import com.sun.jna.Pointer;
import io.sluice.socketlb.MapFormat.Pair;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The outcomes of connection attempts that the programs report. Used by one thread. */
final class Outcomes implements AutoCloseable {
    private static final Kind[] KINDS = Kind.values();

    /** The outcomes, in the order of {@code enum outcome}. */
    enum Kind {
        ANSWERED,
        REFUSED,
        SILENT,
        /** Closed before a TCP answer: by the client, or because of an ICMP error. */
        ABORTED
    }

    /** The outcome of one connection attempt. */
    record Outcome(Pair pair, Kind kind) {}

    private List<Outcome> received = new ArrayList<>();
    /** In a field, because native code does not keep the object alive. */
    private final Libbpf.SampleCallback callback = this::sample;

    private final Pointer ringBuffer;

    /** @param map file descriptor of the map {@code events} */
    Outcomes(int map) throws BpfException {
        Pointer created = Libbpf.ring_buffer__new(map, callback, null, null);
        if (created == null) {
            throw BpfException.of("reading map events", Native.getLastError());
        }
        ringBuffer = created;
    }

    private int sample(@Nullable Pointer context, Pointer data, long size) {
        ByteBuffer event = data.getByteBuffer(0, MapFormat.EVENT).order(ByteOrder.nativeOrder());
        int kind = event.getInt(2 * MapFormat.ADDRESS);
        if (size >= MapFormat.EVENT && kind >= 0 && kind < KINDS.length) {
            received.add(new Outcome(Pair.of(event, 0), KINDS[kind]));
        }
        return 0;
    }

    /** Waits for outcomes, at most for this time, and returns them. */
    List<Outcome> poll(int timeoutMillis) {
        Libbpf.ring_buffer__poll(ringBuffer, timeoutMillis);
        List<Outcome> all = received;
        received = new ArrayList<>();
        return all;
    }

    @Override
    public void close() {
        Libbpf.ring_buffer__free(ringBuffer);
    }
}
