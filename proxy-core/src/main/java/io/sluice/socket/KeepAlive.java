package io.sluice.socket;

import java.io.IOException;

/**
 * The kernel's TCP keep-alive. It applies to idle connections only; one with unacknowledged output ends after the stalled
 * timeout.
 *
 * @param timeSeconds how long a connection is idle before the first probe
 * @param intervalSeconds the time between probes that are not answered
 * @param probes how many unanswered probes end the connection
 */
public record KeepAlive(int timeSeconds, int intervalSeconds, int probes) {
    private static final int IPPROTO_TCP = 6;
    private static final int TCP_KEEPIDLE = 4;
    private static final int TCP_KEEPINTVL = 5;
    private static final int TCP_KEEPCNT = 6;

    /** Enables it; the connections accepted from a listening socket inherit it. */
    public void enable(InetSocket socket) throws IOException {
        socket.setIntOpt(IPPROTO_TCP, TCP_KEEPIDLE, timeSeconds);
        socket.setIntOpt(IPPROTO_TCP, TCP_KEEPINTVL, intervalSeconds);
        socket.setIntOpt(IPPROTO_TCP, TCP_KEEPCNT, probes);
        socket.setKeepAlive(true);
    }
}
