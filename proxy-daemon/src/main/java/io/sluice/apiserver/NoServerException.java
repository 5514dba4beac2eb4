package io.sluice.apiserver;

import java.io.IOException;

/** Thrown if no API server responded to a request. */
final class NoServerException extends IOException {
    private static final long serialVersionUID = 1;

    NoServerException(String message) {
        super(message);
    }
}
