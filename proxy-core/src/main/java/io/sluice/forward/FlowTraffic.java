package io.sluice.forward;

import io.sluice.socket.DatagramBatch;
import io.sluice.stats.Counter;
import io.sluice.stats.CounterCells;
import io.sluice.stats.EndpointCells;

/** Counts the datagrams and bytes of one UDP flow, for itself, its service port and its endpoint. */
final class FlowTraffic {
    /** A flow with at most this many requests may be a DNS lookup. */
    private static final int FEW_DATAGRAMS = 2;

    private final CounterCells cells;
    private final EndpointCells endpointCells;
    long requests;
    long replies;
    long bytesToEndpoint;
    long bytesToClient;

    FlowTraffic(CounterCells cells, EndpointCells endpointCells) {
        this.cells = cells;
        this.endpointCells = endpointCells;
    }

    void opened() {
        cells.increment(Counter.FLOWS_ACTIVE);
        endpointCells.opened();
    }

    void closed() {
        cells.add(Counter.FLOWS_ACTIVE, -1);
        endpointCells.closed();
    }

    /** Counts an ICMP error from the endpoint. */
    void endpointFailed() {
        cells.increment(Counter.FLOWS_ENDPOINT_ERROR);
        endpointCells.failed();
    }

    /** Counts a batch of requests, of which the socket accepted {@code sent}. */
    void toEndpoint(DatagramBatch batch, int sent) {
        long bytes = count(Counter.DATAGRAMS_TO_ENDPOINT, Counter.BYTES_TO_ENDPOINT, batch, sent);
        endpointCells.toEndpoint(bytes);
        bytesToEndpoint += bytes;
    }

    /** Counts a batch of replies, of which the socket accepted {@code sent}. */
    void toClient(DatagramBatch batch, int sent) {
        long bytes = count(Counter.DATAGRAMS_TO_CLIENT, Counter.BYTES_TO_CLIENT, batch, sent);
        endpointCells.toClient(bytes);
        bytesToClient += bytes;
    }

    private long count(Counter datagrams, Counter bytes, DatagramBatch batch, int sent) {
        boolean all = sent == batch.datagrams;
        long length = all ? batch.end - batch.start : (long) sent * batch.datagramBytes;
        cells.add(datagrams, sent);
        cells.add(bytes, length);
        if (!all) {
            cells.add(Counter.DATAGRAMS_DROPPED, batch.datagrams - sent);
        }
        return length;
    }

    /** Whether there were only one or two requests and all were answered, as in a DNS lookup (A and AAAA). */
    boolean isProbablyFinished() {
        return requests == replies && requests <= FEW_DATAGRAMS;
    }

    /** Whether more or larger datagrams than those of a DNS lookup follow each other. */
    static boolean isBusy(long datagrams) {
        return datagrams > FEW_DATAGRAMS;
    }
}
