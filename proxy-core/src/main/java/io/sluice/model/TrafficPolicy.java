package io.sluice.model;

import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * The traffic policy of a Service: what a Service can ask of a proxy beyond the rules of Kubernetes. {@code
 * deploy/docs/traffic-policy.md} describes the annotations that set it.
 *
 * <p>{@link #DEFAULT} applies to Services without such annotations. It adds passive health checks to what kube-proxy
 * does, and nothing else.
 *
 * @param sourceRanges the source ranges that all frontends of the Service allow; empty to allow all clients. Already
 *     part of {@link Frontend#allowedSources}, and kept here for output
 * @param socketLb whether connections may be decided at the client's socket, if nothing else prevents it
 */
public record TrafficPolicy(
        Balancing balancing,
        Limits limits,
        Timeouts timeouts,
        ProxyProtocol proxyProtocol,
        Lifetime lifetime,
        List<Cidr> sourceRanges,
        boolean socketLb) {
    public static final TrafficPolicy DEFAULT = new TrafficPolicy(
            Balancing.DEFAULT, Limits.NONE, Timeouts.DEFAULT, ProxyProtocol.NONE, Lifetime.DEFAULT, List.of(), true);

    public TrafficPolicy {
        sourceRanges = List.copyOf(sourceRanges);
    }

    /** Whether the open connections and flows of each endpoint must be counted. */
    public boolean countsPerEndpoint() {
        return balancing.algorithm == Algorithm.LEAST_CONNECTIONS || limits.connectionsPerEndpoint > 0;
    }

    /** How the endpoint of a new connection or flow is chosen. */
    public enum Algorithm {
        ROUND_ROBIN,
        LEAST_CONNECTIONS,
        /** Consistent hashing of the client address. */
        MAGLEV
    }

    /** Which endpoints are chosen before all others. */
    public enum Preference {
        NONE,
        /** Endpoints in the zone of this node. */
        ZONE,
        /** Endpoints on this node. */
        NODE
    }

    /**
     * How the endpoint of a new connection or flow is chosen.
     *
     * @param slowStartNanos time in which the share of a new endpoint grows to that of the others; 0 for none
     * @param ejectAfter number of consecutive connection failures after which an endpoint is ejected; 0 for never
     * @param ejectForNanos time for which an endpoint is ejected the first time
     * @param healthCheckIntervalNanos time between two active health checks of an endpoint; 0 for no checks
     */
    public record Balancing(
            Algorithm algorithm,
            long slowStartNanos,
            Preference preference,
            int ejectAfter,
            long ejectForNanos,
            long healthCheckIntervalNanos) {
        public static final Balancing DEFAULT =
                new Balancing(Algorithm.ROUND_ROBIN, 0, Preference.NONE, 3, TimeUnit.SECONDS.toNanos(10), 0);
    }

    /**
     * Limits of connections and flows on this node; 0 for no limit.
     *
     * @param connections open connections and flows of the Service port
     * @param connectionsPerClient open connections and flows of one client address
     * @param connectionsPerEndpoint open connections and flows of one endpoint
     * @param ratePerClient new connections and flows of one client address in {@code ratePeriodNanos}, which is also the
     *     number that may arrive at once
     */
    public record Limits(
            int connections,
            int connectionsPerClient,
            int connectionsPerEndpoint,
            int ratePerClient,
            long ratePeriodNanos) {
        public static final Limits NONE = new Limits(0, 0, 0, 0, 0);

        /** Whether a new connection or flow may exceed a limit of the Service or of its client. */
        public boolean restrictsClients() {
            return connections > 0 || connectionsPerClient > 0 || ratePerClient > 0;
        }
    }

    /**
     * Timeouts; 0 for the timeout of the process, and for no idle timeout.
     *
     * @param connectNanos timeout of one attempt to connect to an endpoint
     * @param connectDeadlineNanos total time for all attempts
     * @param idleNanos time without a forwarded byte after which a TCP connection is closed
     * @param halfClosedNanos time without a forwarded byte after which a TCP connection that is closed in one direction
     *     is reset
     * @param udpNanos idle timeout of a flow with replies
     * @param udpUnrepliedNanos idle timeout of a flow without replies
     */
    public record Timeouts(
            long connectNanos,
            long connectDeadlineNanos,
            long idleNanos,
            long halfClosedNanos,
            long udpNanos,
            long udpUnrepliedNanos) {
        public static final Timeouts DEFAULT = new Timeouts(0, 0, 0, 0, 0, 0);
    }

    /** The version of the PROXY protocol header that is sent to endpoints. */
    public enum ProxyHeader {
        NONE,
        V1,
        V2
    }

    /**
     * The use of the PROXY protocol.
     *
     * @param send the header that is sent to endpoints
     * @param acceptFrom the peers that must send a header, and whose headers are believed
     */
    public record ProxyProtocol(ProxyHeader send, List<Cidr> acceptFrom) {
        public static final ProxyProtocol NONE = new ProxyProtocol(ProxyHeader.NONE, List.of());

        public ProxyProtocol {
            acceptFrom = List.copyOf(acceptFrom);
        }

        /** Whether a peer must send a header. Allocates nothing. */
        public boolean acceptsFrom(IpAddress peer) {
            return Cidr.anyContains(acceptFrom, peer);
        }
    }

    /** What happens to established TCP connections of an endpoint that is gone or no longer serving. */
    public enum Removal {
        KEEP,
        /** They are reset after a time. */
        DRAIN,
        /** They are reset at once. */
        RESET
    }

    /**
     * When TCP connections wait and end.
     *
     * @param removal what happens to connections of a removed endpoint
     * @param drainNanos time after which they are reset if {@code removal} is {@code DRAIN}
     * @param holdNanos time for which new connections wait for an endpoint if the Service has none; 0 to reset them
     * @param holdLimit number of connections that may wait
     * @param maxAgeNanos age at which a connection is closed as soon as it is quiet; 0 for no limit
     */
    public record Lifetime(Removal removal, long drainNanos, long holdNanos, int holdLimit, long maxAgeNanos) {
        public static final int DEFAULT_HOLD_LIMIT = 256;
        public static final Lifetime DEFAULT = new Lifetime(Removal.KEEP, 0, 0, DEFAULT_HOLD_LIMIT, 0);
    }
}
