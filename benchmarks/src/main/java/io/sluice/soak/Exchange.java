package io.sluice.soak;

import java.util.Random;

/**
 * What client and server do with one connection, or with one turn of a long one. Both run in this process, so the wire
 * carries only the key of the exchange and its bytes.
 *
 * @param how who ends it and in what way
 * @param ask how many bytes the client sends
 * @param answer how many the server sends
 * @param duplex whether the answer is sent while the question still comes
 * @param clientStallMillis how long the client reads nothing
 * @param serverStallMillis how long the server reads nothing
 * @param resetAt for resets: after how many bytes sent, or received if it is more than were to be sent
 */
record Exchange(
        int key,
        How how,
        int ask,
        int answer,
        boolean duplex,
        int clientStallMillis,
        int serverStallMillis,
        int resetAt) {
    /** The key stands before the question. */
    static final int HEADER_BYTES = 8;

    static final int MAGIC = 0x50AC_50AC;

    enum How {
        /** Question and answer; the connection goes on. */
        GO_ON,
        CLIENT_CLOSES_FIRST,
        SERVER_CLOSES_FIRST,
        /** The client sends FIN with its question; the server answers when it has seen that. */
        CLIENT_HALF_CLOSES,
        /** The server sends its answer and FIN; the client asks when it has seen that. */
        SERVER_HALF_CLOSES,
        CLIENT_RESETS,
        SERVER_RESETS,
        /** The client connects, says nothing, and goes. */
        SILENT
    }

    /** Bytes each way until the end or until the reset. */
    static Exchange of(int key, How how, int ask, int answer) {
        return new Exchange(key, how, ask, answer, false, 0, 0, 0);
    }

    static Exchange reset(int key, How how, Random random) {
        int ask = random.nextInt(100_000);
        int answer = 1 + random.nextInt(300_000);
        return new Exchange(key, how, ask, answer, false, 0, 0, random.nextInt(HEADER_BYTES + ask + answer));
    }

    static Exchange bulk(int key, Random random) {
        How how = random.nextBoolean() ? How.CLIENT_HALF_CLOSES : How.SERVER_CLOSES_FIRST;
        return new Exchange(key, how, random.nextInt(6 << 20), random.nextInt(6 << 20), true, 0, 0, 0);
    }

    static Exchange stalled(int key, Random random) {
        boolean client = random.nextBoolean();
        int millis = 2_000 + random.nextInt(8_000);
        int most = 4 << 20;
        How how = random.nextBoolean() ? How.CLIENT_CLOSES_FIRST : How.SERVER_CLOSES_FIRST;
        return client
                ? new Exchange(key, how, 100, most, false, millis, 0, 0)
                : new Exchange(key, how, most, 100, false, 0, millis, 0);
    }
}
