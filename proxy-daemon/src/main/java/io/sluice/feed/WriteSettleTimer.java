package io.sluice.feed;

import io.sluice.document.FileVersion;
import java.util.concurrent.TimeUnit;

/** How long a file of a feed must stand still before it is read, so that no half of it is. */
final class WriteSettleTimer {
    private WriteSettleTimer() {}

    /** How long a file being written in place must stand still before it is taken to be whole. */
    static final long STILL_NANOS = TimeUnit.MILLISECONDS.toNanos(300);

    /** Written and renamed within one tick of the file system's clock, or just begun? A writer's next write tells. */
    static final long DOUBT_NANOS = TimeUnit.MILLISECONDS.toNanos(10);

    /** A folder read while a file is renamed in it may show neither name; the next look does. */
    static final long GONE_NANOS = TimeUnit.MILLISECONDS.toNanos(20);

    /** How long a file that has just come under a name has to stand still. */
    static long nanos(FileVersion stamp, boolean wasWritten, boolean unwatched) {
        if (stamp.isEmpty()) {
            return STILL_NANOS;
        }
        if (stamp.isFinished()) {
            return 0;
        }
        return wasWritten || unwatched ? STILL_NANOS : DOUBT_NANOS;
    }
}
