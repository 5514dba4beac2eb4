package io.sluice.socket;

import com.sun.management.UnixOperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Counts the file descriptors that forwarding uses, and limits their number. All members are static, because the
 * descriptor limit applies to the whole process. Part of the limit is reserved, so that health checks, the feed and
 * logging work even when forwarding has used up its part. Thread-safe.
 */
public final class Descriptors {
    /**
     * The number of descriptors reserved for everything except forwarding and HTTP, such as the feed, files and the
     * class path.
     */
    private static final int RESERVED = 48;

    private static final int MAX_RESERVED_FOR_HTTP = 1024;

    /** The minimum number of descriptors for forwarding, even if the process limit is too low for this. */
    private static final int MIN = 16;

    /** The descriptor limit of the process (RLIMIT_NOFILE). */
    public static final long LIMIT;

    /**
     * The number of descriptors reserved for HTTP clients, so that health checks and metrics are served under any load.
     */
    public static final int RESERVED_FOR_HTTP;

    /** The maximum number of descriptors for forwarding. */
    private static final long MAX;
    /** The number of open descriptors used for forwarding. */
    private static final AtomicInteger OPEN = new AtomicInteger();
    /**
     * The number of listeners, whether bound or received in a handover. Their descriptors are included in {@link
     * #OPEN}.
     */
    private static final AtomicInteger LISTENING = new AtomicInteger();

    static {
        long limit = Integer.MAX_VALUE;
        long before = 0;
        if (ManagementFactory.getOperatingSystemMXBean() instanceof UnixOperatingSystemMXBean unix) {
            limit = unix.getMaxFileDescriptorCount();
            before = unix.getOpenFileDescriptorCount();
        }
        LIMIT = limit;
        RESERVED_FOR_HTTP = (int) Math.min(MAX_RESERVED_FOR_HTTP, limit / 8);
        MAX = Math.max(MIN, limit - before - RESERVED - RESERVED_FOR_HTTP);
    }

    private Descriptors() {}

    static void opened() {
        OPEN.incrementAndGet();
    }

    /** Records that a descriptor used for forwarding was closed. */
    public static void closed() {
        OPEN.decrementAndGet();
    }

    /** Whether forwarding may open this many more descriptors. */
    public static boolean hasRoomFor(int more) {
        return OPEN.get() + more <= MAX;
    }

    /**
     * Whether forwarding may open this many more listeners. Listeners may use at most three quarters of the
     * descriptors, because an open port whose connections cannot be served is worse than a closed one.
     */
    public static boolean hasRoomForListeners(int more) {
        return LISTENING.get() + more <= MAX * 3 / 4;
    }

    /** Records that this many listeners were opened or received. */
    public static void addListeners(int more) {
        LISTENING.addAndGet(more);
    }

    /** Records that this many listeners were closed. */
    public static void removeListeners(int fewer) {
        LISTENING.addAndGet(-fewer);
    }

    /** The number of descriptors that forwarding may use. */
    public static long max() {
        return MAX;
    }

    /** Whether more than three quarters of {@link #max} are open. */
    public static boolean areScarce() {
        return OPEN.get() > MAX * 3 / 4;
    }

    /** The number of descriptors that forwarding may still open. */
    static int room() {
        return (int) Math.max(0, MAX - OPEN.get());
    }

    /** The number of open descriptors used for forwarding. For tests. */
    public static int open() {
        return OPEN.get();
    }
}
