package io.sluice.forward;

import io.sluice.model.IpAddress;
import io.sluice.socket.Errno;
import java.util.EnumMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Tracks which resources have run out, and whether clients are limited to their share. Each such condition is logged
 * only when it begins and when it ends, because it can affect thousands of connections per second. Thread-safe.
 */
final class ResourceExhaustion {
    private static final Logger log = LoggerFactory.getLogger(ResourceExhaustion.class);

    private static final long OVER_AFTER_NANOS = TimeUnit.SECONDS.toNanos(5);
    private static final long NONE = Long.MIN_VALUE;

    /** How long listeners pause after a resource ran out; new connections then wait in the accept queue. */
    static final long PAUSE_MILLIS = 100;

    private static final long PAUSE_NANOS = TimeUnit.MILLISECONDS.toNanos(PAUSE_MILLIS);

    /** Limited resources. */
    enum Kind {
        DESCRIPTORS("file descriptors (ulimit -n)"),
        PORTS("local ports for connections to an endpoint (net.ipv4.ip_local_port_range)"),
        KERNEL_MEMORY("kernel memory for sockets"),
        EPOLL_WATCHES("epoll watches (fs.epoll.max_user_watches)"),
        BUFFER_MEMORY("buffer memory for slow readers (-XX:MaxDirectMemorySize)");

        private final String description;

        Kind(String description) {
            this.description = description;
        }

        /** Returns the resource that has run out according to an error number; null for other errors. */
        static @Nullable Kind errno(int errno) {
            return switch (errno) {
                case Errno.EMFILE, Errno.ENFILE -> DESCRIPTORS;
                case Errno.EADDRNOTAVAIL, Errno.EAGAIN -> PORTS;
                case Errno.ENOBUFS, Errno.ENOMEM -> KERNEL_MEMORY;
                case Errno.ENOSPC -> EPOLL_WATCHES;
                default -> null;
            };
        }
    }

    private final LongSupplier nanoClock;
    /** Time at which each resource was last found exhausted. */
    private final Map<Kind, AtomicLong> lastNanos = new EnumMap<>(Kind.class);

    /** Time at which any client was last limited to its share. */
    private final AtomicLong lastClientLimitNanos = new AtomicLong(NONE);

    private volatile long pauseUntilNanos;

    ResourceExhaustion(LongSupplier nanoClock) {
        this.nanoClock = nanoClock;
        this.pauseUntilNanos = nanoClock.getAsLong();
        for (Kind kind : Kind.values()) {
            lastNanos.put(kind, new AtomicLong(NONE));
        }
    }

    /** Records that a resource has run out. */
    void note(Kind kind) {
        long now = nanoClock.getAsLong();
        if (kind != Kind.PORTS) {
            // Local ports run out for a single endpoint only; all other resources are needed by every connection.
            pauseUntilNanos = now + PAUSE_NANOS;
        }
        if (begins(Objects.requireNonNull(lastNanos.get(kind)), now)) {
            log.warn(
                    "out of {}: new connections and flows are delayed or rejected; established ones are not affected",
                    kind.description);
        }
    }

    /** Records that a connection or flow of a client was rejected because the client already holds its share. */
    void noteClientLimit(IpAddress client, int percent) {
        if (begins(lastClientLimitNanos, nanoClock.getAsLong())) {
            log.warn(
                    "client {} holds its share ({} %) of file descriptors or UDP flows, and more than 75 % are in use;"
                            + " resetting its new connections and dropping its new flows (--max-client-share)",
                    client, percent);
        }
    }

    /** Whether new connections should wait in the accept queue. */
    boolean shouldPauseAccepting() {
        return pauseUntilNanos - nanoClock.getAsLong() > 0;
    }

    /** Logs the end of each condition that has not occurred for five seconds. Called by the housekeeper thread. */
    void check() {
        long now = nanoClock.getAsLong();
        lastNanos.forEach((kind, last) -> {
            if (ends(last, now)) {
                log.info("no longer out of {}", kind.description);
            }
        });
        if (ends(lastClientLimitNanos, now)) {
            log.info("no client is limited to its share any more (--max-client-share)");
        }
    }

    private static boolean begins(AtomicLong last, long nowNanos) {
        return last.getAndSet(nowNanos) == NONE;
    }

    private static boolean ends(AtomicLong last, long nowNanos) {
        long at = last.get();
        return at != NONE && nowNanos - at >= OVER_AFTER_NANOS && last.compareAndSet(at, NONE);
    }
}
