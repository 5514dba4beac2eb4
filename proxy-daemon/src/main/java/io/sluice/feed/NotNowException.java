package io.sluice.feed;

/**
 * Thrown by the target of a {@link SyncLoop} that cannot apply a snapshot yet, for a reason that is not an error. The
 * loop retries.
 */
public final class NotNowException extends RuntimeException {
    private static final long serialVersionUID = 1;

    public NotNowException(String reason) {
        super(reason);
    }
}
