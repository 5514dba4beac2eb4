package io.sluice.socket;

import com.sun.management.UnixOperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * How many descriptors forwarding has and may have. The limit is the process's, so this is static; some are left alone,
 * so that health checks, the feed and the logs go on when forwarding has used up its share. Any thread.
 */
public final class Descriptors {
    /** For what is not forwarding and opens descriptors after the start: the feed, files, class path. */
    private static final int LEFT_ALONE = 48;

    private static final int MAX_LEFT_FOR_HTTP = 1024;

    /** Even where the limit is absurd, something is served. */
    private static final int AT_LEAST = 16;

    /** What the process may open, and what it had open when forwarding began. */
    public static final long LIMIT;

    /** For the clients of health checks and metrics: probes are answered however much is forwarded. */
    public static final int LEFT_FOR_HTTP;

    private static final long MOST;
    private static final AtomicInteger OPEN = new AtomicInteger();
    /** Of listeners that this process bound or took over. Counted in {@link #OPEN}, too. */
    private static final AtomicInteger LISTENING = new AtomicInteger();

    static {
        long limit = Integer.MAX_VALUE;
        long before = 0;
        if (ManagementFactory.getOperatingSystemMXBean() instanceof UnixOperatingSystemMXBean unix) {
            limit = unix.getMaxFileDescriptorCount();
            before = unix.getOpenFileDescriptorCount();
        }
        LIMIT = limit;
        LEFT_FOR_HTTP = (int) Math.min(MAX_LEFT_FOR_HTTP, limit / 8);
        MOST = Math.max(AT_LEAST, limit - before - LEFT_ALONE - LEFT_FOR_HTTP);
    }

    private Descriptors() {}

    static void opened() {
        OPEN.incrementAndGet();
    }

    public static void closed() {
        OPEN.decrementAndGet();
    }

    public static boolean roomFor(int more) {
        return OPEN.get() + more <= MOST;
    }

    /** Listeners get three quarters at most: an open port whose connections are never served is worse than a closed one. */
    public static boolean roomForListeners(int more) {
        return LISTENING.get() + more <= MOST * 3 / 4;
    }

    public static void addListeners(int more) {
        LISTENING.addAndGet(more);
    }

    public static void removeListeners(int fewer) {
        LISTENING.addAndGet(-fewer);
    }

    /** How many forwarding may have. */
    public static long max() {
        return MOST;
    }

    /** Whether more than three quarters are open. */
    public static boolean areScarce() {
        return OPEN.get() > MOST * 3 / 4;
    }

    /** How many more there may be. */
    static int room() {
        return (int) Math.max(0, MOST - OPEN.get());
    }

    /** For tests. */
    public static int open() {
        return OPEN.get();
    }
}
