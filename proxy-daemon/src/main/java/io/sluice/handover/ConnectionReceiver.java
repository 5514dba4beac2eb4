package io.sluice.handover;

import io.sluice.forward.Forwarder;
import io.sluice.forward.MovedConnection;
import io.sluice.socket.UnixSocket;
import io.sluice.text.Table;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Receives the TCP connections of the old process, once this process is serving. Whatever fails, the connections that
 * were not received stay in the old process. Used by one thread.
 */
final class ConnectionReceiver implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(ConnectionReceiver.class);

    private final OldProcess old;
    private final Forwarder forwarder;
    private int received;
    private int left;

    /** @param old closed with this object */
    ConnectionReceiver(OldProcess old, Forwarder forwarder) {
        this.old = old;
        this.forwarder = forwarder;
    }

    /** Receives connections until the old process sends no more. */
    void receiveAll() {
        long sinceNanos = System.nanoTime();
        try {
            while (receiveNext()) {
                // Each call receives one batch.
            }
            if (received + left > 0) {
                log.info(
                        "received {} from the old process in {} ms{}",
                        Table.count(received, "connection"),
                        TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - sinceNanos),
                        left == 0 ? "" : "; " + left + " end in the old process");
            }
        } catch (IOException e) {
            log.warn(
                    "received {} from the old process, which keeps the others: {}",
                    Table.count(received, "connection"),
                    e.getMessage());
        }
    }

    private boolean receiveNext() throws IOException {
        String line = old.readConnectionLine();
        String word = line.split(" ", 2)[0];
        switch (word) {
            case HandoverChannel.MOVE ->
                receive(HandoverChannel.numbers(word, 1, line).get(0));
            case HandoverChannel.WAITING, HandoverChannel.DONE ->
                left = HandoverChannel.numbers(word, 1, line).get(0);
            default -> throw new IOException("received '" + line + "' instead of a batch of connections");
        }
        return !word.equals(HandoverChannel.DONE);
    }

    private void receive(int expected) throws IOException {
        List<MovedConnection> connections = old.receiveConnections(expected);
        List<Integer> rejected = rejected(connections);
        boolean committed = false;
        try {
            committed = old.commit(rejected);
        } finally {
            if (!committed) {
                UnixSocket.closeAll(MovedConnection.descriptors(connections));
            }
        }
        if (!committed) {
            throw new IOException("the old process did not respond");
        }
        List<MovedConnection> taken = new ArrayList<>(connections);
        List<MovedConnection> returned = rejected.stream().map(connections::get).toList();
        taken.removeAll(returned);
        UnixSocket.closeAll(MovedConnection.descriptors(returned));
        forwarder.receiveConnections(taken);
        received += taken.size();
    }

    /** Numbers of the connections whose buffered bytes exceed the budget of this process. */
    private List<Integer> rejected(List<MovedConnection> connections) {
        List<Integer> rejected = new ArrayList<>();
        long roomBytes = forwarder.bufferRoomBytes();
        for (int i = 0; i < connections.size(); i++) {
            int bytes = connections.get(i).bufferedBytes();
            if (bytes > 0 && bytes > roomBytes) {
                rejected.add(i);
            } else {
                roomBytes -= bytes;
            }
        }
        return rejected;
    }

    @Override
    public void close() {
        old.close();
    }
}
