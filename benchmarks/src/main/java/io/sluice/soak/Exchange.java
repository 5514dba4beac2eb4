package io.sluice.soak;

import java.util.Random;

/**
 * What client and server do on one connection, or in one request of a long-lived connection. Both run in this process,
 * so only the key of the exchange and its bytes are sent.
 * @param closeMode which side ends the connection and in what way
 * @param requestBytes bytes that the client sends
 * @param responseBytes bytes that the server sends
 * @param duplex whether the server sends its response while the client still sends
 * @param clientStallMillis how long the client does not read
 * @param serverStallMillis how long the server does not read
 * @param resetAt for resets: the sum of sent and received bytes at which the side resets
 */
record Exchange(
        int key,
        CloseMode closeMode,
        int requestBytes,
        int responseBytes,
        boolean duplex,
        int clientStallMillis,
        int serverStallMillis,
        int resetAt) {
    /** Magic number and key, which precede the request. */
    static final int HEADER_BYTES = 8;

    static final int MAGIC = 0x50AC_50AC;

    enum CloseMode {
        /** A request and its response; the connection stays open for the next. */
        KEEP_OPEN,
        CLIENT_CLOSES_FIRST,
        SERVER_CLOSES_FIRST,
        /** The client sends FIN after its request; the server responds after that FIN. */
        CLIENT_HALF_CLOSES,
        /** The server sends its response and FIN; the client sends its request after that FIN. */
        SERVER_HALF_CLOSES,
        CLIENT_RESETS,
        SERVER_RESETS,
        /** The client connects, sends nothing, and closes. */
        SILENT
    }

    /** An exchange without stalls, resets or simultaneous sending. */
    static Exchange of(int key, CloseMode closeMode, int requestBytes, int responseBytes) {
        return new Exchange(key, closeMode, requestBytes, responseBytes, false, 0, 0, 0);
    }

    static Exchange reset(int key, CloseMode closeMode, Random random) {
        int requestBytes = random.nextInt(100_000);
        int responseBytes = 1 + random.nextInt(300_000);
        return new Exchange(
                key,
                closeMode,
                requestBytes,
                responseBytes,
                false,
                0,
                0,
                random.nextInt(HEADER_BYTES + requestBytes + responseBytes));
    }

    static Exchange bulk(int key, Random random) {
        CloseMode closeMode = random.nextBoolean() ? CloseMode.CLIENT_HALF_CLOSES : CloseMode.SERVER_CLOSES_FIRST;
        return new Exchange(key, closeMode, random.nextInt(6 << 20), random.nextInt(6 << 20), true, 0, 0, 0);
    }

    static Exchange stalled(int key, Random random) {
        boolean client = random.nextBoolean();
        int millis = 2_000 + random.nextInt(8_000);
        int large = 4 << 20;
        CloseMode closeMode = random.nextBoolean() ? CloseMode.CLIENT_CLOSES_FIRST : CloseMode.SERVER_CLOSES_FIRST;
        return client
                ? new Exchange(key, closeMode, 100, large, false, millis, 0, 0)
                : new Exchange(key, closeMode, large, 100, false, 0, millis, 0);
    }
}
