package io.sluice.forward;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Says once that descriptors, ports or memory have run out, and once that it is over: a shortage fails thousands of
 * connections a second, and a line for each would be the next shortage. Any thread.
 */
final class Shortage {
    private static final Logger log = LoggerFactory.getLogger(Shortage.class);

    private static final long OVER_AFTER_NANOS = TimeUnit.SECONDS.toNanos(5);
    private static final long NONE = Long.MIN_VALUE;

    private final LongSupplier nanoClock;
    private final AtomicLong lastNanos = new AtomicLong(NONE);

    Shortage(LongSupplier nanoClock) {
        this.nanoClock = nanoClock;
    }

    /** Something could not be had. */
    void begin(Exception cause) {
        if (lastNanos.getAndSet(nanoClock.getAsLong()) == NONE) {
            log.warn("out of resources, new connections and flows wait or fail: {}", cause.getMessage());
        }
    }

    /** Called now and then: says that it is over when nothing has failed for a while. */
    void check() {
        long last = lastNanos.get();
        if (last != NONE && nanoClock.getAsLong() - last >= OVER_AFTER_NANOS && lastNanos.compareAndSet(last, NONE)) {
            log.info("resources are back, new connections and flows are served again");
        }
    }
}
