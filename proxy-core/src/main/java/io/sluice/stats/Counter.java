package io.sluice.stats;

import java.util.List;
import java.util.stream.Stream;

/**
 * The counters and gauges of a service port. Counters of failures share a metric and differ in its label {@code reason};
 * {@code deploy/docs/metrics.md} describes all of them.
 */
public enum Counter {
    SESSIONS_OPENED("sluice_sessions_opened", "TCP connections accepted"),
    SESSIONS_RECEIVED("sluice_sessions_received", "TCP connections that another process has accepted and handed over"),
    SESSIONS_ACTIVE("sluice_sessions_active", "open TCP connections", true),
    SESSIONS_REFUSED(
            "sluice_sessions_rejected",
            "no_endpoint",
            "TCP connections reset because no endpoint was available or the client was not in an allowed source range"),
    SESSIONS_FAILED(
            "sluice_sessions_rejected",
            "connect_failed",
            "TCP connections reset because no connection to an endpoint could be established"),
    SESSIONS_RESET_BY_CLIENT("sluice_sessions_aborted", "client_reset", "TCP connections reset by the client"),
    SESSIONS_RESET_BY_ENDPOINT("sluice_sessions_aborted", "endpoint_reset", "TCP connections reset by the endpoint"),
    SESSIONS_CLIENT_LOST(
            "sluice_sessions_aborted",
            "client_lost",
            "TCP connections reset because the client stopped acknowledging data or keep-alive probes"),
    SESSIONS_ENDPOINT_LOST(
            "sluice_sessions_aborted",
            "endpoint_lost",
            "TCP connections reset because the endpoint stopped acknowledging data or keep-alive probes"),
    SESSIONS_TIMED_OUT(
            "sluice_sessions_aborted", "half_closed_timeout", "TCP connections closed by the half-closed timeout"),
    SESSIONS_OVER_CLIENT_SHARE(
            "sluice_sessions_rejected",
            "client_limit",
            "TCP connections reset because the client address already held its share of the file descriptors"),
    SESSIONS_OVER_SERVICE_LIMIT(
            "sluice_sessions_rejected",
            "service_limit",
            "TCP connections reset because the Service had its maximum of connections"),
    SESSIONS_OVER_CLIENT_LIMIT(
            "sluice_sessions_rejected",
            "client_connections",
            "TCP connections reset because the client had its maximum of connections to the Service"),
    SESSIONS_OVER_CLIENT_RATE(
            "sluice_sessions_rejected",
            "client_rate",
            "TCP connections reset because the client opened connections to the Service too fast"),
    SESSIONS_OVER_ENDPOINT_LIMIT(
            "sluice_sessions_rejected",
            "endpoint_limit",
            "TCP connections reset because all endpoints had their maximum of connections"),
    SESSIONS_WITHOUT_HEADER(
            "sluice_sessions_rejected",
            "proxy_header",
            "TCP connections reset because a trusted peer sent no valid PROXY protocol header in time"),
    SESSIONS_OVER_HOLD_LIMIT(
            "sluice_sessions_rejected",
            "hold_limit",
            "TCP connections reset because the maximum of connections already waited for an endpoint"),
    SESSIONS_HOLD_TIMED_OUT(
            "sluice_sessions_rejected", "hold_timeout", "TCP connections reset because no endpoint appeared in time"),
    SESSIONS_HOLDING("sluice_sessions_holding", "TCP connections that wait for an endpoint", true),
    SESSIONS_IDLE("sluice_sessions_aborted", "idle_timeout", "TCP connections closed by the idle timeout"),
    SESSIONS_TOO_OLD(
            "sluice_sessions_aborted", "max_age", "TCP connections closed because they had reached their maximum age"),
    SESSIONS_REMOVED(
            "sluice_sessions_aborted", "endpoint_removed", "TCP connections reset because their endpoint was removed"),
    SESSIONS_SHED(
            "sluice_sessions_aborted",
            "overload",
            "TCP connections reset because there was no memory to buffer data that one side had not read yet"),
    SESSIONS_CUT(
            "sluice_sessions_aborted",
            "shutdown",
            "TCP connections closed by Sluice because they were still open at the end of the drain"),
    CONNECT_REFUSED("sluice_connect_failures", "refused", "connection attempts refused by the endpoint"),
    CONNECT_UNREACHABLE(
            "sluice_connect_failures",
            "unreachable",
            "connection attempts that failed because there was no route to the endpoint"),
    CONNECT_TIMEOUT(
            "sluice_connect_failures",
            "timeout",
            "connection attempts that the endpoint did not answer within the connect timeout"),
    CONNECT_NO_RESOURCES(
            "sluice_connect_failures",
            "no_resources",
            "connection attempts that failed because this node was out of file descriptors, local ports or memory"),
    CONNECT_ERROR("sluice_connect_failures", "other", "connection attempts that failed with another error"),
    CONNECT_RETRIED("sluice_connect_retries", "connection attempts retried with another endpoint"),
    BYTES_TO_ENDPOINT("sluice_bytes_to_endpoint", "bytes forwarded from clients to endpoints"),
    BYTES_TO_CLIENT("sluice_bytes_to_client", "bytes forwarded from endpoints to clients"),
    CLIENT_ADDRESSES_LOST(
            "sluice_client_addresses_lost",
            "connections and flows with source NAT because replies to the client's own address would bypass Sluice"),
    FLOWS_OPENED("sluice_flows_opened", "UDP flows opened"),
    FLOWS_ACTIVE("sluice_flows_active", "open UDP flows", true),
    FLOWS_MOVED("sluice_flows_moved", "UDP flows moved to another endpoint because their endpoint stopped serving"),
    FLOWS_EVICTED(
            "sluice_flows_aborted",
            "evicted",
            "UDP flows closed early to make room for new ones; probably finished flows are closed first"),
    DATAGRAMS_TO_ENDPOINT("sluice_datagrams_to_endpoint", "datagrams forwarded from clients to endpoints"),
    DATAGRAMS_TO_CLIENT("sluice_datagrams_to_client", "datagrams forwarded from endpoints to clients"),
    DATAGRAMS_REFUSED(
            "sluice_datagrams_dropped",
            "no_endpoint",
            "datagrams dropped because no endpoint was available or the client was not in an allowed source range"),
    DATAGRAMS_OVER_CLIENT_SHARE(
            "sluice_datagrams_dropped",
            "client_limit",
            "datagrams dropped because the client address already held its share of the UDP flows or file descriptors"),
    DATAGRAMS_OVER_SERVICE_LIMIT(
            "sluice_datagrams_dropped",
            "service_limit",
            "datagrams dropped because the Service had its maximum of UDP flows"),
    DATAGRAMS_OVER_CLIENT_LIMIT(
            "sluice_datagrams_dropped",
            "client_connections",
            "datagrams dropped because the client had its maximum of UDP flows to the Service"),
    DATAGRAMS_OVER_CLIENT_RATE(
            "sluice_datagrams_dropped",
            "client_rate",
            "datagrams dropped because the client opened UDP flows to the Service too fast"),
    DATAGRAMS_OVER_ENDPOINT_LIMIT(
            "sluice_datagrams_dropped",
            "endpoint_limit",
            "datagrams dropped because all endpoints had their maximum of UDP flows"),
    DATAGRAMS_TOO_LONG(
            "sluice_datagrams_dropped",
            "too_long",
            "datagrams dropped because they would exceed 65,507 bytes with a PROXY protocol header"),
    DATAGRAMS_DROPPED(
            "sluice_datagrams_dropped",
            "overload",
            "datagrams dropped because the flow limit was reached, resources ran out or a socket did not accept them"),
    FLOWS_ENDPOINT_ERROR(
            "sluice_flows_aborted", "endpoint_error", "UDP flows closed because of an ICMP error from the endpoint");

    /** The counters of TCP connections that were reset before an endpoint accepted them. */
    static final List<Counter> REJECTED_SESSIONS = Stream.of(values())
            .filter(counter -> counter.metric.equals(SESSIONS_REFUSED.metric))
            .toList();

    private final String metric;
    private final String reason;
    private final String text;
    private final boolean gauge;

    Counter(String metric, String text) {
        this(metric, "", text, false);
    }

    Counter(String metric, String text, boolean gauge) {
        this(metric, "", text, gauge);
    }

    Counter(String metric, String reason, String text) {
        this(metric, reason, text, false);
    }

    Counter(String metric, String reason, String text, boolean gauge) {
        this.metric = metric;
        this.reason = reason;
        this.text = text;
        this.gauge = gauge;
    }

    /** The name of the metric, without the suffix {@code _total} of a counter. */
    public String metric() {
        return metric;
    }

    /** The value of the label {@code reason}; empty if the metric does not have this label. */
    public String reason() {
        return reason;
    }

    /** What is counted. */
    public String text() {
        return text;
    }

    /** Whether this is a gauge, whose value can fall, rather than a counter. */
    public boolean isGauge() {
        return gauge;
    }
}
