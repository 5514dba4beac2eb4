package io.sluice.stats;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * The counters of one endpoint in one event loop, with a histogram of connect times. Written only by that loop, and read
 * by any thread. Each value is read atomically, but values read together are not a consistent snapshot.
 */
public final class EndpointCells {
    private static final VarHandle LONGS = MethodHandles.arrayElementVarHandle(long[].class);

    static final int OPENED = 0;
    static final int ACTIVE = 1;
    static final int FAILED = 2;
    static final int BYTES_TO_ENDPOINT = 3;
    static final int BYTES_TO_CLIENT = 4;
    /** The first bucket of the histogram. */
    static final int CONNECT = 5;

    private final long[] values = new long[CONNECT + Buckets.count()];

    EndpointCells() {}

    private void add(int at, long amount) {
        LONGS.setOpaque(values, at, values[at] + amount);
    }

    /** Counts a new connection or flow. */
    public void opened() {
        add(OPENED, 1);
        add(ACTIVE, 1);
    }

    /** Counts a connection that another process has opened and handed over. */
    public void received() {
        add(ACTIVE, 1);
    }

    /** Counts the end of a connection or flow. */
    public void closed() {
        add(ACTIVE, -1);
    }

    /** Counts connections that clients have opened and closed themselves, and failed attempts. */
    public void direct(long opened, long activeChange, long failed) {
        add(OPENED, opened);
        add(ACTIVE, activeChange);
        add(FAILED, failed);
    }

    /** Counts a failed attempt. */
    public void failed() {
        add(FAILED, 1);
    }

    /** Records the time that the endpoint took to accept a connection. */
    public void connected(long nanos) {
        add(CONNECT + Buckets.of(nanos), 1);
    }

    /** Counts bytes sent to the endpoint. */
    public void toEndpoint(long bytes) {
        add(BYTES_TO_ENDPOINT, bytes);
    }

    /** Counts bytes received from the endpoint. */
    public void toClient(long bytes) {
        add(BYTES_TO_CLIENT, bytes);
    }

    long get(int at) {
        return (long) LONGS.getOpaque(values, at);
    }
}
