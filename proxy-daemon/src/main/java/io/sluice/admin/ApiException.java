package io.sluice.admin;

/** Thrown by a handler to respond with an error: the status, and the message in a JSON object. */
public final class ApiException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final int status;

    /**
     * Creates an exception.
     *
     * @param status HTTP status code, 400 or higher
     * @param message what is wrong and what is allowed, in one line
     */
    public ApiException(int status, String message) {
        super(message);
        this.status = status;
    }

    int status() {
        return status;
    }
}
