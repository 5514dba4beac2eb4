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
    private final Progress progress;
    private volatile boolean stopped;
    private int received;
    private int left;

    /** Called after each message with the number of connections received, and left in the old process as far as known. */
    @FunctionalInterface
    interface Progress {
        void changed(int received, int left);
    }

    /** @param old closed with this object */
    ConnectionReceiver(OldProcess old, Forwarder forwarder, Progress progress) {
        this.old = old;
        this.forwarder = forwarder;
        this.progress = progress;
    }

    /** Makes the old process keep the connections that were not received yet. Thread-safe. */
    void stop() {
        stopped = true;
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
        if (stopped) {
            throw new IOException("this process is stopping");
        }
        String word = line.split(" ", 2)[0];
        switch (word) {
            case HandoverChannel.MOVE ->
                receive(HandoverChannel.numbers(word, 1, line).get(0));
            case HandoverChannel.WAITING, HandoverChannel.DONE ->
                left = HandoverChannel.numbers(word, 1, line).get(0);
            default -> throw new IOException("received '" + line + "' instead of a batch of connections");
        }
        progress.changed(received, left);
        return !word.equals(HandoverChannel.DONE);
    }

    private void receive(int expected) throws IOException {
        List<MovedConnection> connections = old.receiveConnections(expected);
        received += forwarder.receiveConnections(() -> commit(connections));
        old.continued();
    }

    /** Returns those of the connections that this process must continue, and closes the descriptors of the others. */
    private List<MovedConnection> commit(List<MovedConnection> connections) throws IOException {
        List<MovedConnection> taken = List.of();
        try {
            if (stopped) {
                throw new IOException("this process is stopping");
            }
            List<Integer> rejected = rejected(connections);
            if (!old.commit(rejected)) {
                throw new IOException("the old process did not respond");
            }
            taken = new ArrayList<>(connections);
            taken.removeAll(rejected.stream().map(connections::get).toList());
            return taken;
        } finally {
            List<MovedConnection> returned = new ArrayList<>(connections);
            returned.removeAll(taken);
            UnixSocket.closeAll(MovedConnection.descriptors(returned));
        }
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
