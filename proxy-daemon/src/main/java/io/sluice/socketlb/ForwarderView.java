package io.sluice.socketlb;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import java.util.Set;

/**
 * The forwarder, as socket-level load balancing sees it: it decides which endpoints are in use, and learns how their
 * connections end. Called on one thread at a time; must not call back.
 */
public interface ForwarderView {
    /** The endpoints of a service port that get no new connections: ejected, or taken out by an operator. */
    Set<Endpoint> outOfUse(ServicePortName name);

    /** The frontends of a service port that are not served, so that connections to them must fail. */
    Set<FrontendAddress> failed(ServicePort servicePort);

    /**
     * The addresses of this node; the same object until they change. A process of the node may serve a ClusterIP that is
     * one of them, such as a node-local DNS cache.
     */
    Set<IpAddress> nodeAddresses();

    /** Records that an endpoint answered after a failure. */
    void answered(ServicePortName name, Endpoint endpoint);

    /** Records that an endpoint refused a connection. */
    void refused(ServicePortName name, Endpoint endpoint);

    /** Records that an endpoint answered neither a SYN nor its retransmission. */
    void silent(ServicePortName name, Endpoint endpoint);

    /** Finds out whether an endpoint answers. */
    void check(ServicePortName name, Endpoint endpoint);

    /** Lets each endpoint of a service port whose ejection has lasted for its time answer a trial connection. */
    void tryEjected(ServicePortName name);

    /** Adds to the counters of an endpoint. */
    void count(ServicePortName name, Endpoint endpoint, Traffic traffic);

    /**
     * Connections to an endpoint.
     *
     * @param opened number of connections that were established
     * @param change change of the number of open connections
     * @param refused number of attempts that were refused
     * @param silent number of attempts that were not answered
     */
    record Traffic(long opened, long change, long refused, long silent) {}
}
