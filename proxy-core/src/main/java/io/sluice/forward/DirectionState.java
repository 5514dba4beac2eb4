package io.sluice.forward;

/**
 * The state of a {@link Direction}. Only these combinations of the two directions of a connection are legal, in either
 * order:
 *
 * <table>
 * <caption>Legal combinations of states</caption>
 * <tr><td>OPEN, OPEN</td><td>bytes are forwarded both ways</td></tr>
 * <tr><td>ENDED, OPEN</td><td>half closed; reset if no byte is forwarded within the half-closed timeout</td></tr>
 * <tr><td>ENDED, ENDED</td><td>both peers sent FIN; the session ends</td></tr>
 * <tr><td>BROKEN, OPEN</td><td>writing to one peer failed; bytes that this peer sent earlier are still
 * forwarded</td></tr>
 * <tr><td>BROKEN, BROKEN</td><td>writing to both peers failed; the first end of stream ends the session</td></tr>
 * <tr><td>DELIVERING, CLOSED</td><td>one peer reset the connection or was lost; the other peer gets all earlier bytes,
 * then RST</td></tr>
 * </table>
 */
enum DirectionState {
    /** Bytes are read and written. */
    OPEN,
    /** Writing to the reader failed. Bytes from the sender are still read, but discarded. */
    BROKEN,
    /** The sender sent FIN, which was forwarded after all earlier bytes. */
    ENDED,
    /**
     * The sender reset the connection or was lost. Nothing more is read; pending bytes are written, then the
     * reader's connection is reset too.
     */
    DELIVERING,
    /** The reader reset the connection or was lost. Nothing is read or written. */
    CLOSED;

    boolean isLegalWith(DirectionState opposite) {
        return switch (this) {
            case OPEN -> opposite == OPEN || opposite == BROKEN || opposite == ENDED;
            case BROKEN -> opposite == OPEN || opposite == BROKEN;
            case ENDED -> opposite == OPEN || opposite == ENDED;
            case DELIVERING -> opposite == CLOSED;
            case CLOSED -> opposite == DELIVERING;
        };
    }

    boolean reads() {
        return this == OPEN || this == BROKEN;
    }
}
