package io.sluice.apiserver;

import io.sluice.document.Problem;

/** Why no API server can be asked: one line, for people. */
public final class ApiAccessException extends Exception {
    private static final long serialVersionUID = 1L;

    ApiAccessException(String line) {
        super(Problem.oneLine(line));
    }
}
