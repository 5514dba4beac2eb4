package io.sluice.apiserver;

import io.sluice.document.Problem;

/** Invalid or missing configuration of the access to API servers. The message is one line and is shown to the user. */
public final class ApiAccessException extends Exception {
    private static final long serialVersionUID = 1L;

    ApiAccessException(String line) {
        super(Problem.oneLine(line));
    }
}
