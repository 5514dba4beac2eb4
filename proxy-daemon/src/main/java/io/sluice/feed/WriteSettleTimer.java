package io.sluice.feed;

import io.sluice.document.FileVersion;
import java.util.concurrent.TimeUnit;

/** Decides how long a file must be unchanged before it is read, so that incomplete files are not read. */
final class WriteSettleTimer {
    private WriteSettleTimer() {}

    /** Time for which a file that is written in place must be unchanged to be considered complete. */
    static final long SETTLE_NANOS = TimeUnit.MILLISECONDS.toNanos(300);

    /**
     * Delay for a new file whose change and modification times are equal. Such a file was either written and renamed
     * within one tick of the file system's clock, or is still being written, in which case another write follows.
     */
    static final long DOUBT_NANOS = TimeUnit.MILLISECONDS.toNanos(10);

    /**
     * Delay before a missing file is considered removed: while a file is renamed, a scan may find neither of its names.
     */
    static final long MISSING_NANOS = TimeUnit.MILLISECONDS.toNanos(20);

    /** Returns the time for which a new or replaced file must be unchanged before it is read. */
    static long nanos(FileVersion version, boolean wasWritten, boolean unwatched) {
        if (version.isEmpty()) {
            return SETTLE_NANOS;
        }
        if (version.isFinished()) {
            return 0;
        }
        return wasWritten || unwatched ? SETTLE_NANOS : DOUBT_NANOS;
    }
}
