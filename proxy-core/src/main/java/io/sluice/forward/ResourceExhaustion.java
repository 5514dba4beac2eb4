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
 * What this process has run out of, and whether clients were denied more than their share of it. Says so once when it
 * begins and once when it is over: a shortage fails thousands of connections a second, and a line for each would be the
 * next shortage. Any thread.
 */
final class ResourceExhaustion {
    private static final Logger log = LoggerFactory.getLogger(ResourceExhaustion.class);

    private static final long OVER_AFTER_NANOS = TimeUnit.SECONDS.toNanos(5);
    private static final long NONE = Long.MIN_VALUE;

    /** How long no connection is accepted after one could not be served: they wait in the kernel meanwhile. */
    static final long PAUSE_MILLIS = 100;

    private static final long PAUSE_NANOS = TimeUnit.MILLISECONDS.toNanos(PAUSE_MILLIS);

    /** The things there is only so much of. */
    enum Kind {
        DESCRIPTORS("file descriptors (ulimit -n)"),
        PORTS("local ports towards an endpoint (net.ipv4.ip_local_port_range)"),
        KERNEL_MEMORY("kernel memory for sockets"),
        EPOLL_WATCHES("epoll watches (fs.epoll.max_user_watches)"),
        HELD_BYTES("memory for what slow readers have not taken (-XX:MaxDirectMemorySize)");

        private final String text;

        Kind(String text) {
            this.text = text;
        }

        /** What an error number says is lacking here; null if it says something else. */
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
    /** When each was last found lacking. */
    private final Map<Kind, AtomicLong> lastNanos = new EnumMap<>(Kind.class);

    /** When a client was last denied more than its share. */
    private final AtomicLong lastShareNanos = new AtomicLong(NONE);

    private volatile long pauseUntilNanos;

    ResourceExhaustion(LongSupplier nanoClock) {
        this.nanoClock = nanoClock;
        this.pauseUntilNanos = nanoClock.getAsLong();
        for (Kind what : Kind.values()) {
            lastNanos.put(what, new AtomicLong(NONE));
        }
    }

    /** Something could not be had. */
    void note(Kind what) {
        long now = nanoClock.getAsLong();
        if (what != Kind.PORTS) {
            // Ports lack towards one endpoint; the rest is lacking for everybody.
            pauseUntilNanos = now + PAUSE_NANOS;
        }
        if (begins(Objects.requireNonNull(lastNanos.get(what)), now)) {
            log.warn("out of {}: new connections and flows wait or fail, those that exist go on", what.text);
        }
    }

    /** A client was denied a connection or flow beyond its share. */
    void noteShare(IpAddress client, int percent) {
        if (begins(lastShareNanos, nanoClock.getAsLong())) {
            log.warn(
                    "client {} holds its share, {} %, of the file descriptors or UDP flows, of which more than 75 % are in"
                            + " use: its new connections are reset and its new flows dropped (--max-client-share)",
                    client, percent);
        }
    }

    /** Whether new connections had better wait in the kernel's queue. */
    boolean isAcute() {
        return pauseUntilNanos - nanoClock.getAsLong() > 0;
    }

    /** Called now and then: says that it is over when nothing has failed for a while. */
    void check() {
        long now = nanoClock.getAsLong();
        lastNanos.forEach((what, last) -> {
            if (ends(last, now)) {
                log.info("no longer out of {}", what.text);
            }
        });
        if (ends(lastShareNanos, now)) {
            log.info("no client is denied connections or flows beyond its share any more (--max-client-share)");
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
