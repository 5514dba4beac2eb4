package io.sluice.handover;

import io.sluice.forward.Forwarder;
import io.sluice.forward.ForwarderHandover;
import io.sluice.handover.OldProcess.Offer;
import io.sluice.handover.OldProcess.Outcome;
import io.sluice.model.ServiceSnapshot;
import io.sluice.socket.UnixSocket;
import io.sluice.text.Table;
import java.io.EOFException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** How a new process takes the place of one that serves: its listeners, UDP flows and affinity, without a gap. */
public final class HandoverClient {
    private static final Logger log = LoggerFactory.getLogger(HandoverClient.class);

    private static final int ATTEMPTS = 5;
    /** About as many seconds as a process that has just taken over may need until it can be asked. */
    private static final int ATTEMPTS_AFTER_ANOTHER = 30;

    private static final long FIRST_PAUSE_NANOS = TimeUnit.MILLISECONDS.toNanos(100);
    private static final long LONGEST_PAUSE_NANOS = TimeUnit.SECONDS.toNanos(1);

    /** What came of it. */
    public enum Result {
        /** This process serves. */
        SERVING,
        /** The other process serves, and is to be asked again: this one has nothing to serve yet. */
        WAITING,
        /** The other process serves, and this one has to end. */
        BEATEN
    }

    private final Path socket;
    private final Forwarder forwarder;
    private final String rulesOptions;
    private final boolean mayBeEmpty;
    /** Whether the other process is of version 2. */
    private boolean older;

    private int attempts = ATTEMPTS;

    /**
     * @param socket where the other process hands over
     * @param rulesOptions what says whether both redirect packets in the same way
     * @param mayBeEmpty whether no frontend at all is believed where the other process cannot say how many it has
     */
    public HandoverClient(Path socket, Forwarder forwarder, String rulesOptions, boolean mayBeEmpty) {
        this.socket = socket;
        this.forwarder = forwarder;
        this.rulesOptions = rulesOptions;
        this.mayBeEmpty = mayBeEmpty;
    }

    /** Has the forwarder serve the snapshot, with what the other process had if it hands over. */
    public Result takeOver(ServiceSnapshot snapshot) {
        attempts = ATTEMPTS;
        for (int failures = 0; failures < attempts; failures++) {
            try (OldProcess old = OldProcess.connect(socket)) {
                if (old == null) {
                    // It has ended in the meantime and closed everything.
                    forwarder.apply(snapshot);
                    return Result.SERVING;
                }
                Optional<Result> result = older ? takeOverFromOlder(old, snapshot) : takeOver(old, snapshot);
                if (result.isPresent()) {
                    return result.get();
                }
            } catch (IOException e) {
                log.info("the old process did not hand over: {}", e.getMessage());
            }
            LockSupport.parkNanos(Math.min(LONGEST_PAUSE_NANOS, FIRST_PAUSE_NANOS << Math.min(failures, 4)));
        }
        log.warn("the old process does not hand over, so this is a cold start");
        forwarder.apply(snapshot);
        return Result.SERVING;
    }

    /** Empty if it is to be asked again. */
    private Optional<Result> takeOver(OldProcess old, ServiceSnapshot snapshot) throws IOException {
        Optional<Offer> asked;
        try {
            asked = old.ask(rulesOptions);
        } catch (EOFException e) {
            log.info("the old process does not know protocol version 3; asking in version 2");
            older = true;
            return Optional.empty();
        }
        if (asked.isEmpty()) {
            log.info("another process has just taken over; asking that one next");
            attempts = ATTEMPTS_AFTER_ANOTHER;
            return Optional.empty();
        }
        Offer offer = asked.get();
        int frontends = frontends(snapshot);
        if (frontends == 0 && offer.frontends() > 0) {
            old.decline("nothing to serve yet");
            return Optional.of(Result.WAITING);
        }
        int room = UnixSocket.descriptorRoom();
        if (room < offer.descriptors()) {
            old.decline("room for only " + room + " of " + offer.descriptors() + " descriptors");
            log.error(
                    "cannot take over {} sockets: only {} more descriptors can be opened here (ulimit -n); the old process goes"
                            + " on and this one ends",
                    offer.descriptors(),
                    room);
            return Optional.of(Result.BEATEN);
        }
        return Optional.of(serve(old, old.accept(frontends), snapshot));
    }

    private Optional<Result> takeOverFromOlder(OldProcess old, ServiceSnapshot snapshot) throws IOException {
        if (frontends(snapshot) == 0 && !mayBeEmpty) {
            return Optional.of(Result.WAITING);
        }
        return Optional.of(serve(old, old.takeFromOlder(socket, rulesOptions), snapshot));
    }

    private static int frontends(ServiceSnapshot snapshot) {
        int[] frontends = new int[1];
        snapshot.forEach(servicePort -> frontends[0] += servicePort.frontends().size());
        return frontends[0];
    }

    private Result serve(OldProcess old, ForwarderHandover handOver, ServiceSnapshot snapshot) {
        log.info(
                "taking over {} and {}",
                Table.count(handOver.frontends().size(), "address"),
                Table.count(handOver.flows(), "UDP flow"));
        try {
            forwarder.inherit(handOver);
            forwarder.apply(snapshot);
        } catch (RuntimeException | Error e) {
            // The other process takes everything back when the connection closes. A second attempt would start from
            // half
            // of a state.
            log.error("taking over failed; the old process goes on and this one ends", e);
            return beaten();
        }
        Outcome outcome = old.serving();
        // An older process that took everything back has closed the connection without a word.
        boolean kept = outcome == Outcome.KEPT || (outcome == Outcome.UNKNOWN && older && OldProcess.isServed(socket));
        if (kept) {
            log.error("taking over took too long, and the process that served goes on; this one ends");
            return beaten();
        }
        return Result.SERVING;
    }

    private Result beaten() {
        forwarder.closeReleased(forwarder.release());
        return Result.BEATEN;
    }
}
