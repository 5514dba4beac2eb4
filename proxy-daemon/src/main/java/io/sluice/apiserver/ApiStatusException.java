package io.sluice.apiserver;

import java.io.IOException;
import java.time.Duration;
import java.util.Optional;

/** Thrown if an API server responds with an error status. */
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

    /** Delay from the Retry-After header; empty if the server did not send a valid one. */
    Optional<Duration> retryAfter() {
        return retryAfter;
    }

    /** Whether the requested resourceVersion has expired or is newer than the state of the server. */
    boolean needsNewList() {
        return status == 410 || (status == 504 && String.valueOf(getMessage()).contains("resource version"));
    }
}
