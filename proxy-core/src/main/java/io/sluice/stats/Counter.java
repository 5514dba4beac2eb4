package io.sluice.stats;

/**
 * The counters and gauges of a service port. Each is exported as a metric: {@link #text} is the help text, and the
 * metric name is derived from the constant.
 */
public enum Counter {
    SESSIONS_OPENED("TCP connections accepted"),
    SESSIONS_ACTIVE("open TCP connections", true),
    SESSIONS_REFUSED(
            "TCP connections reset because no endpoint was available or the client was not in an allowed source range"),
    SESSIONS_FAILED("TCP connections reset because no connection to an endpoint could be established"),
    SESSIONS_RESET_BY_CLIENT("TCP connections reset by the client"),
    SESSIONS_RESET_BY_ENDPOINT("TCP connections reset by the endpoint"),
    SESSIONS_CLIENT_LOST("TCP connections reset because the client stopped acknowledging data or keep-alive probes"),
    SESSIONS_ENDPOINT_LOST(
            "TCP connections reset because the endpoint stopped acknowledging data or keep-alive probes"),
    SESSIONS_TIMED_OUT("TCP connections closed by the half-closed timeout"),
    SESSIONS_OVER_CLIENT_SHARE(
            "TCP connections reset because the client address already held its share of the file descriptors"),
    SESSIONS_SHED("TCP connections reset because there was no memory to buffer data that one side had not read yet"),
    SESSIONS_CUT("TCP connections closed by Sluice because they were still open at the end of the drain"),
    CONNECT_REFUSED("connection attempts refused by the endpoint"),
    CONNECT_UNREACHABLE("connection attempts that failed because there was no route to the endpoint"),
    CONNECT_TIMEOUT("connection attempts that the endpoint did not answer within the connect timeout"),
    CONNECT_NO_RESOURCES(
            "connection attempts that failed because this node was out of file descriptors, local ports or memory"),
    CONNECT_ERROR("connection attempts that failed with another error"),
    CONNECT_RETRIED("connection attempts retried with another endpoint"),
    BYTES_TO_ENDPOINT("bytes forwarded from clients to endpoints"),
    BYTES_TO_CLIENT("bytes forwarded from endpoints to clients"),
    CLIENT_ADDRESSES_LOST(
            "connections and flows with source NAT because replies to the client's own address would bypass Sluice"),
    FLOWS_OPENED("UDP flows opened"),
    FLOWS_ACTIVE("open UDP flows", true),
    FLOWS_MOVED("UDP flows moved to another endpoint because their endpoint stopped serving"),
    FLOWS_EVICTED("UDP flows closed early to make room for new ones; probably finished flows are closed first"),
    DATAGRAMS_TO_ENDPOINT("datagrams forwarded from clients to endpoints"),
    DATAGRAMS_TO_CLIENT("datagrams forwarded from endpoints to clients"),
    DATAGRAMS_REFUSED(
            "datagrams dropped because no endpoint was available or the client was not in an allowed source range"),
    DATAGRAMS_OVER_CLIENT_SHARE(
            "datagrams dropped because the client address already held its share of the UDP flows or file descriptors"),
    DATAGRAMS_DROPPED(
            "datagrams dropped because the flow limit was reached, resources ran out or a socket did not accept them"),
    FLOWS_ENDPOINT_ERROR("UDP flows closed because of an ICMP error from the endpoint");

    private final String text;
    private final boolean gauge;

    Counter(String text) {
        this(text, false);
    }

    Counter(String text, boolean gauge) {
        this.text = text;
        this.gauge = gauge;
    }

    /** The help text of the metric. */
    public String text() {
        return text;
    }

    /** Whether this is a gauge, whose value can fall, rather than a counter. */
    public boolean isGauge() {
        return gauge;
    }
}
