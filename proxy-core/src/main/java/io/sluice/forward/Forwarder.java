package io.sluice.forward;

import io.sluice.model.ServiceSnapshot;
import io.sluice.stats.Stats;
import java.time.Duration;
import java.util.List;
import java.util.function.Consumer;

/** Makes this machine's sockets match a {@link ServiceSnapshot} and forwards what arrives on them. */
public final class Forwarder implements AutoCloseable {
    private final Stats stats;

    /**
     * Starts the event loops.
     *
     * @param onChange told of every frontend that enters a state; called on the thread that caused it, must not block
     * @throws IllegalStateException where epoll cannot be used, saying why
     */
    public Forwarder(ForwarderConfig config, Consumer<FrontendStatus> onChange) {
        stats = new Stats(config.loops());
    }

    /**
     * Opens, re-routes and closes listeners until they match. Costs what changed. Established sessions are never
     * touched. Any thread; calls are serialised. A frontend that cannot be opened is {@code FAILED} and retried; this
     * method does not throw for it.
     */
    public void apply(ServiceSnapshot snapshot) {}

    /** The state of every frontend of the last snapshot, ordered by address. Any thread. */
    public List<FrontendStatus> frontends() {
        return List.of();
    }

    /** What was counted so far. */
    public Stats stats() {
        return stats;
    }

    /** Closes all listeners; sessions and flows go on. */
    public void stopAccepting() {}

    /**
     * Waits for open TCP sessions to end by themselves.
     *
     * @return how many were still open when the time was up
     */
    public int drain(Duration timeout) throws InterruptedException {
        return 0;
    }

    /** Ends what is left and stops the loops. */
    @Override
    public void close() {}
}
