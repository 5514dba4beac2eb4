package io.sluice.handoverbench;

import io.sluice.handoverbench.Opening.Kind;

/** The endpoint side of a connection. */
final class EndpointConnection extends StreamConnection {
    static final int MESSAGE_BYTES = 1_200;
    static final long MESSAGE_NANOS = 20_000_000;

    private boolean released;

    EndpointConnection(Opening opening, Faults faults) {
        super(opening, false, faults);
    }

    void start() {
        switch (opening.kind()) {
            case REPLY -> {}
            case SOURCE -> flood();
            case SINK -> limitReads(opening.argument());
            case MESSAGES -> sendMessage();
            case FIN -> finish();
        }
    }

    /** Lets a connection end that waits for this. */
    void release() {
        released = true;
        if (opening.kind() == Kind.SINK) {
            limitReads(Opening.UNLIMITED);
        } else if (opening.kind() == Kind.MESSAGES) {
            finish();
        }
    }

    private void sendMessage() {
        if (!released && !hasFailed()) {
            send(MESSAGE_BYTES);
            Worker.after(MESSAGE_NANOS, channel().eventLoop(), this::sendMessage);
        }
    }

    @Override
    void onReceived(int bytes) {
        if (opening.kind() == Kind.REPLY) {
            for (int left = bytes; left > 0; left -= ByteStream.MAX_SLICE_BYTES) {
                send(Math.min(left, ByteStream.MAX_SLICE_BYTES));
            }
            if (opening.argument() > 0 && received() >= opening.argument()) {
                finish();
            }
        }
    }

    @Override
    boolean onFin() {
        if (opening.kind() != Kind.MESSAGES || released) {
            finish();
        }
        return true;
    }
}
