package io.sluice.node;

import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Logs when {@code src_valid_mark}, which must be off, is turned on or off. Guarded by the owner's lock. */
final class MarkValidationLog {
    private static final Logger log = LoggerFactory.getLogger(MarkValidationLog.class);

    private Optional<String> problem = Optional.empty();

    void check() {
        Optional<String> found = NodeRequirements.findProblem();
        if (!found.equals(problem)) {
            problem = found;
            found.ifPresentOrElse(log::error, () -> log.info("src_valid_mark is off again on all devices"));
        }
    }
}
