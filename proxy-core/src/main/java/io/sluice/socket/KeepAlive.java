package io.sluice.socket;

import java.io.IOException;

/**
 * The TCP keep-alive settings. Keep-alive detects lost peers of idle connections only; for connections with
 * unacknowledged output, the stalled timeout applies.
 *
 * @param timeSeconds the idle time before the first probe
 * @param intervalSeconds the time between unanswered probes
 * @param probes the number of consecutive unanswered probes after which the kernel closes the connection
 */
public record KeepAlive(int timeSeconds, int intervalSeconds, int probes) {
    private static final int IPPROTO_TCP = 6;
    private static final int TCP_KEEPIDLE = 4;
    private static final int TCP_KEEPINTVL = 5;
    private static final int TCP_KEEPCNT = 6;

    /** Enables keep-alive on a socket. Connections accepted from a listening socket inherit the settings. */
    public void enable(InetSocket socket) throws IOException {
        socket.setIntOpt(IPPROTO_TCP, TCP_KEEPIDLE, timeSeconds);
        socket.setIntOpt(IPPROTO_TCP, TCP_KEEPINTVL, intervalSeconds);
        socket.setIntOpt(IPPROTO_TCP, TCP_KEEPCNT, probes);
        socket.setKeepAlive(true);
    }
}
