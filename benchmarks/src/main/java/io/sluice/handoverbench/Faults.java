package io.sluice.handoverbench;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Counts what must not happen to a connection, and describes the first cases. Thread-safe. */
final class Faults {
    /** Details per kind of fault. */
    private static final int MAX_DETAILS = 5;

    private final Map<Fault, Integer> counts = new TreeMap<>();
    private final List<String> details = new ArrayList<>();

    /** The kinds of faults. */
    enum Fault {
        /** The connection was reset. */
        RESET,
        /** The connection was closed by a FIN although the peer did not close it. */
        CLOSED,
        /** Received bytes differ from those sent: lost, repeated or from another connection. */
        BYTES,
        /** A message on a connection got no reply in time. */
        TIMEOUT,
        /** A new connection could not be established. */
        CONNECT,
        /** A datagram got no reply in time. */
        UDP_LOST,
        /** A UDP flow was forwarded to another endpoint. */
        UDP_ENDPOINT
    }

    /** The counts and details since the process started, as sent to the benchmark. */
    record Summary(Map<Fault, Integer> counts, List<String> details) {
        static final Summary NONE = new Summary(Map.of(), List.of());

        int of(Fault fault) {
            return counts.getOrDefault(fault, 0);
        }

        int total() {
            return counts.values().stream().mapToInt(Integer::intValue).sum();
        }
    }

    synchronized void add(Fault fault, String detail) {
        if (counts.merge(fault, 1, Integer::sum) <= MAX_DETAILS) {
            details.add(fault + " " + detail);
        }
    }

    synchronized Summary summary() {
        return new Summary(new TreeMap<>(counts), List.copyOf(details));
    }
}
