package io.sluice.daemon;

import io.sluice.forward.Forwarder;
import io.sluice.forward.HandOver;
import io.sluice.model.ServiceSnapshot;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.locks.LockSupport;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** How this process takes the place of one that serves: its listeners, UDP flows and affinity, without a gap. */
final class Succession {
    private static final Logger log = LoggerFactory.getLogger(Succession.class);

    private static final int ATTEMPTS = 3;
    private static final Duration PAUSE = Duration.ofSeconds(1);

    private final Path socket;
    private final Forwarder forwarder;
    private final String rulesOptions;

    /**
     * @param socket where the other hands over
     * @param rulesOptions what says whether both lead packets here in the same way
     */
    Succession(Path socket, Forwarder forwarder, String rulesOptions) {
        this.socket = socket;
        this.forwarder = forwarder;
        this.rulesOptions = rulesOptions;
    }

    /** Has the forwarder serve the snapshot with what the other had. False if the other goes on, and nothing is served. */
    boolean takeOver(ServiceSnapshot snapshot) {
        for (int attempt = 1; ; attempt++) {
            try (HandOverChannel predecessor = HandOverChannel.toIncumbent(socket)) {
                if (predecessor == null) {
                    // It has ended in the meantime and closed everything.
                    forwarder.apply(snapshot);
                    return true;
                }
                HandOver handOver = predecessor.take(socket, rulesOptions);
                log.info(
                        "taking over {} and {}",
                        Table.count(handOver.frontends().size(), "address"),
                        Table.count(handOver.flows(), "UDP flow"));
                forwarder.inherit(handOver);
                forwarder.apply(snapshot);
                return isAlone(predecessor);
            } catch (IOException e) {
                if (attempt == ATTEMPTS) {
                    log.warn("the process that serves does not hand over, so this is a cold start: {}", e.getMessage());
                    forwarder.apply(snapshot);
                    return true;
                }
                // Another successor may have been faster; it is to be asked then.
                log.info("the process that serves did not hand over and is asked again: {}", e.getMessage());
                LockSupport.parkNanos(PAUSE.toNanos());
            }
        }
    }

    /** Tells the predecessor that this process serves. Too late, that one does: it has taken everything back. */
    private boolean isAlone(HandOverChannel predecessor) {
        try {
            predecessor.serving();
            return true;
        } catch (IOException e) {
            if (!HandOverChannel.isServed(socket)) {
                log.info("the process that served has ended: {}", e.getMessage());
                return true;
            }
            log.error("taking over took too long, and the process that served goes on; this one ends");
            forwarder.letGo(forwarder.release());
            return false;
        }
    }
}
