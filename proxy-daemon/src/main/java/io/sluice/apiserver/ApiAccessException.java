package io.sluice.apiserver;

import io.sluice.document.Problem;

/** Thrown if the configuration of API server access is missing or invalid. The message is one line for the user. */
public final class ApiAccessException extends Exception {
    private static final long serialVersionUID = 1L;

    ApiAccessException(String line) {
        super(Problem.oneLine(line));
    }
}
