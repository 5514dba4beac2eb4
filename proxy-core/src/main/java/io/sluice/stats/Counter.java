package io.sluice.stats;

/**
 * Everything that is counted per service port. A counter only grows, unless it says that it is a level.
 *
 * <p>The texts are what a user reads in the metrics.
 */
public enum Counter {
    SESSIONS_OPENED("TCP connections accepted"),
    SESSIONS_ACTIVE("TCP connections open now", true),
    SESSIONS_REFUSED("TCP connections reset because no endpoint may serve this client"),
    SESSIONS_FAILED("TCP connections reset because no endpoint could be reached"),
    SESSIONS_RESET_BY_CLIENT("TCP connections the client reset"),
    SESSIONS_RESET_BY_ENDPOINT("TCP connections the endpoint reset"),
    SESSIONS_CLIENT_LOST("TCP connections reset because the client no longer acknowledged data or keep-alive probes"),
    SESSIONS_ENDPOINT_LOST(
            "TCP connections reset because the endpoint no longer acknowledged data or keep-alive probes"),
    SESSIONS_TIMED_OUT("TCP connections ended by the half-closed timeout"),
    SESSIONS_OVER_CLIENT_SHARE(
            "TCP connections reset because their client address held its share of the file descriptors"),
    SESSIONS_SHED("TCP connections reset for want of memory for what one end did not take"),
    SESSIONS_CUT("TCP connections still open when the drain ended"),
    CONNECT_REFUSED("attempts an endpoint refused"),
    CONNECT_UNREACHABLE("attempts with no route to the endpoint"),
    CONNECT_TIMEOUT("attempts an endpoint did not answer in time"),
    CONNECT_NO_RESOURCES("attempts that failed here, for want of descriptors, ports or memory"),
    CONNECT_ERROR("attempts that failed for another reason"),
    CONNECT_RETRIED("attempts made at another endpoint after one failed"),
    BYTES_TO_ENDPOINT("bytes relayed from clients to endpoints"),
    BYTES_TO_CLIENT("bytes relayed from endpoints to clients"),
    CLIENT_ADDRESSES_LOST(
            "connections and flows whose endpoint sees the node's address because it could not answer the client's"),
    FLOWS_OPENED("UDP flows opened"),
    FLOWS_ACTIVE("UDP flows open now", true),
    FLOWS_MOVED("UDP flows moved because their endpoint stopped serving"),
    FLOWS_EVICTED("UDP flows ended early because the limit of flows was reached"),
    DATAGRAMS_TO_ENDPOINT("datagrams relayed from clients to endpoints"),
    DATAGRAMS_TO_CLIENT("datagrams relayed from endpoints to clients"),
    DATAGRAMS_REFUSED("datagrams dropped because no endpoint may serve this client"),
    DATAGRAMS_OVER_CLIENT_SHARE(
            "datagrams dropped because their client address held its share of the UDP flows or file descriptors"),
    DATAGRAMS_DROPPED("datagrams dropped because a socket would not take them"),
    FLOWS_ENDPOINT_ERROR("UDP flows ended by an ICMP error from the endpoint");

    private final String text;
    private final boolean level;

    Counter(String text) {
        this(text, false);
    }

    Counter(String text, boolean level) {
        this.text = text;
        this.level = level;
    }

    /** What is counted, in words. */
    public String text() {
        return text;
    }

    /** Whether the value can fall: open connections rather than connections so far. */
    public boolean isLevel() {
        return level;
    }
}
