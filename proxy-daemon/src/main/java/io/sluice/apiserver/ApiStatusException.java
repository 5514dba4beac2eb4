package io.sluice.apiserver;

import java.io.IOException;
import java.time.Duration;
import java.util.Optional;

/** What an API server answered instead of what it was asked for. */
final class ApiStatusException extends IOException {
    private static final long serialVersionUID = 1;

    private final int status;
    private final transient Optional<Duration> retryAfter;

    ApiStatusException(int status, String message, Optional<Duration> retryAfter) {
        super(message);
        this.status = status;
        this.retryAfter = retryAfter;
    }

    int status() {
        return status;
    }

    /** What it asks us to wait; empty if it does not say. */
    Optional<Duration> retryAfter() {
        return retryAfter;
    }

    /** Whether what was asked for lies too far in the past, or in a future that this server does not know. */
    boolean needsNewList() {
        return status == 410 || (status == 504 && String.valueOf(getMessage()).contains("resource version"));
    }
}
