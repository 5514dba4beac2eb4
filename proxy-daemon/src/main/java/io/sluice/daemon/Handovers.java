package io.sluice.daemon;

import io.sluice.config.Settings;
import io.sluice.feed.NotNowException;
import io.sluice.forward.Forwarder;
import io.sluice.handover.HandoverChannel;
import io.sluice.handover.HandoverClient;
import io.sluice.handover.HandoverServer;
import io.sluice.handover.OldProcess;
import io.sluice.handover.ReceivedHandover;
import io.sluice.model.ServiceSnapshot;
import io.sluice.thread.Supervisor;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Objects;
import java.util.concurrent.locks.Lock;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The handovers of this process: it may receive one when it starts, and may hand over to a later process. Does nothing
 * without a handover socket.
 */
final class Handovers implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(Handovers.class);

    private final Settings settings;
    private final @Nullable HandoverClient client;
    private final @Nullable HandoverServer server;
    private boolean waitingLogged;

    /**
     * Creates the object without connecting or listening.
     *
     * @param changes lock that is held during a handover, so that no snapshot is applied
     * @param handedOver called with this lock held when the new process serves; its argument is the {@link #rules} of
     *     the new process
     */
    Handovers(
            Settings settings, Forwarder forwarder, Supervisor supervisor, Lock changes, Consumer<String> handedOver) {
        this.settings = settings;
        Path socket = settings.handoverSocket();
        if (socket == null) {
            client = null;
            server = null;
            return;
        }
        // An empty feed might not have been written yet, whereas the lists from an API server are complete.
        HandoverClient created = new HandoverClient(socket, forwarder, rules(), settings.feed() == null);
        client = created;
        server = new HandoverServer(
                socket,
                forwarder,
                supervisor,
                changes,
                rules(),
                handedOver,
                settings.drainTimeout(),
                created::isReceivingConnections);
    }

    /** A string that describes how this process redirects packets, for comparison with another process. */
    String rules() {
        return settings.rules() == null
                ? HandoverChannel.NO_RULES
                : settings.rules().routing();
    }

    /** Whether another process serves on the handover socket. */
    boolean anotherServes() {
        Path socket = settings.handoverSocket();
        return socket != null && OldProcess.isListening(socket);
    }

    /**
     * Requests the handover from the process that serves.
     *
     * @return false if it failed and the old process continues to serve
     * @throws NotNowException if this process has no Services yet
     */
    boolean request(ServiceSnapshot snapshot) {
        return switch (Objects.requireNonNull(client).requestHandover(snapshot)) {
            case SERVING -> true;
            case HANDOVER_FAILED -> false;
            case WAITING -> throw nothingToServe();
        };
    }

    private NotNowException nothingToServe() {
        if (!waitingLogged) {
            waitingLogged = true;
            String source = settings.feed() == null ? "the API server" : "'" + settings.feed() + "'";
            log.warn("no Services in {} yet; the old process continues to serve until there are some", source);
        }
        return new NotNowException("no Services yet; the old process continues to serve");
    }

    /** Opens the handover socket, see {@link HandoverServer#open}. */
    void open(boolean replaceOldSocket) {
        if (server != null) {
            server.open(replaceOldSocket);
        }
    }

    /** Waits after a handover until the open connections have moved. */
    void awaitConnectionsMoved(Duration timeout) throws InterruptedException {
        if (server != null) {
            server.awaitConnectionsMoved(timeout);
        }
    }

    /** Stops receiving connections, which stay in the old process. */
    void stopReceiving() {
        if (client != null) {
            client.stopReceiving();
        }
    }

    /** What this process has received; null before a handover, and after a cold start. */
    @Nullable
    ReceivedHandover received() {
        return client == null ? null : client.received();
    }

    @Override
    public void close() {
        if (server != null) {
            server.close();
        }
    }
}
