package io.sluice.socket;

import com.sun.management.UnixOperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The file descriptors that forwarding uses, and their limit. The limit applies to the process, so this class is static. A
 * part of it is reserved, so that health checks, the feed and logging work even when forwarding has used its part. Any
 * thread.
 */
public final class Descriptors {
    /** Reserved for descriptors other than those of forwarding and HTTP: the feed, files and the class path. */
    private static final int RESERVED = 48;

    private static final int MAX_RESERVED_FOR_HTTP = 1024;

    /** The minimum for forwarding, even if the process limit is too low for it. */
    private static final int MIN = 16;

    /** The descriptor limit of the process (RLIMIT_NOFILE). */
    public static final long LIMIT;

    /** Reserved for clients of health checks and metrics, so that probes are answered under any load. */
    public static final int RESERVED_FOR_HTTP;

    /** The limit of forwarding. */
    private static final long MAX;
    /** The open descriptors of forwarding. */
    private static final AtomicInteger OPEN = new AtomicInteger();
    /** The descriptors of listeners, bound or received in a handover. They are included in {@link #OPEN}. */
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

    /** Counts a closed descriptor. */
    public static void closed() {
        OPEN.decrementAndGet();
    }

    /** Whether forwarding may open this many more descriptors. */
    public static boolean hasRoomFor(int more) {
        return OPEN.get() + more <= MAX;
    }

    /**
     * Whether forwarding may open this many more listeners. They may use three quarters of the descriptors, because an open
     * port whose connections cannot be served is worse than a closed one.
     */
    public static boolean hasRoomForListeners(int more) {
        return LISTENING.get() + more <= MAX * 3 / 4;
    }

    /** Counts new listeners. */
    public static void addListeners(int more) {
        LISTENING.addAndGet(more);
    }

    /** Counts closed listeners. */
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

    /** The number of open descriptors of forwarding. For tests. */
    public static int open() {
        return OPEN.get();
    }
}
