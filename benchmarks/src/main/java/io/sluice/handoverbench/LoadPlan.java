package io.sluice.handoverbench;

import java.util.List;

/**
 * What the client process connects to and how much load it generates.
 *
 * @param frontend IPv4 address of the Service for most connections; frontend6 is its IPv6 address
 * @param removed address of the Service that is removed before the first handover
 * @param waiting address of the Service that has no endpoint until the last handover is over
 * @param clients IPv4 addresses to connect from, in turn; several, because --max-client-share limits each
 * @param newClients IPv4 addresses of the new connections
 * @param bulkBytesPerSecond rate at which bulk transfers are read; 0: as fast as possible
 */
record LoadPlan(
        String frontend,
        String frontend6,
        String removed,
        String waiting,
        int port,
        List<String> clients,
        List<String> newClients,
        String client6,
        int connections,
        int active,
        int waitingConnections,
        int intervalMillis,
        int rate,
        int udpFlows,
        long bulkBytesPerSecond) {
    /** Every eighth connection uses IPv6. */
    static final int IPV6_EVERY = 8;

    long bulkRate() {
        return bulkBytesPerSecond == 0 ? Opening.UNLIMITED : bulkBytesPerSecond;
    }

    boolean usesIpv6(long connection) {
        return connection % IPV6_EVERY == IPV6_EVERY - 1;
    }

    String frontend(long connection) {
        return usesIpv6(connection) ? frontend6 : frontend;
    }

    /** The address from which the client connects. */
    String client(long connection) {
        return usesIpv6(connection) ? client6 : clients.get((int) (connection % clients.size()));
    }
}
