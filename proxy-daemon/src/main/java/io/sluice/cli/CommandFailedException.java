package io.sluice.cli;

/** Thrown by a command that fails. The message is one line for the user: what failed and what to do. */
final class CommandFailedException extends Exception {
    private static final long serialVersionUID = 1;

    private final boolean temporary;

    private CommandFailedException(String message, boolean temporary) {
        super(message);
        this.temporary = temporary;
    }

    /** Returns an exception for a daemon that did not respond; a later request may succeed. */
    static CommandFailedException unavailable(String message) {
        return new CommandFailedException(message, true);
    }

    /** Returns an exception for a failure that would occur again. */
    static CommandFailedException of(String message) {
        return new CommandFailedException(message, false);
    }

    /** Whether a later request may succeed, for example when the daemon has been restarted. */
    boolean isTemporary() {
        return temporary;
    }
}
