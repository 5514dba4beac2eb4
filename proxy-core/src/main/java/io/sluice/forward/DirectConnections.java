package io.sluice.forward;

import io.sluice.balance.EndpointTarget;
import io.sluice.balance.ServiceState;
import io.sluice.model.Endpoint;
import io.sluice.model.ServicePortName;
import io.sluice.socket.Errno;
import io.sluice.stats.Counter;
import io.sluice.stats.CounterCells;
import java.util.function.Consumer;

/**
 * Records what happens to TCP connections that clients open to endpoints directly, because the endpoint was chosen when
 * the client called {@code connect()}. They share the counters, health and ejections with forwarded connections. Unknown
 * service ports and endpoints are ignored. Used by one thread at a time.
 */
public final class DirectConnections {
    /** Number of threads besides the event loops that write counters. Their cells follow those of the loops. */
    static final int WRITERS = 1;

    private final Object lock;
    private final FrontendTable table;
    private final ForwarderConfig config;
    private final int cells;

    /** @param lock the forwarder's lock */
    DirectConnections(Object lock, FrontendTable table, ForwarderConfig config) {
        this.lock = lock;
        this.table = table;
        this.config = config;
        this.cells = config.loops();
    }

    /**
     * Adds to the counters of an endpoint.
     *
     * @param opened number of connections that were established
     * @param activeChange change of the number of open connections
     * @param refused number of attempts that were refused
     * @param silent number of attempts that were not answered
     */
    public void count(
            ServicePortName name, Endpoint endpoint, long opened, long activeChange, long refused, long silent) {
        synchronized (lock) {
            ServiceState service = table.services.get(name);
            if (service == null) {
                return;
            }
            CounterCells counters = service.stats.cells(cells);
            counters.add(Counter.SESSIONS_OPENED, opened);
            counters.add(Counter.SESSIONS_ACTIVE, activeChange);
            counters.add(Counter.CONNECT_REFUSED, refused);
            counters.add(Counter.CONNECT_TIMEOUT, silent);
            EndpointTarget target = service.targetInUse(endpoint);
            target.cells(cells).direct(opened, activeChange, refused + silent);
            if (opened > 0 && !target.status().health().state().isFailing()) {
                target.answered();
            }
        }
    }

    /** Records that an endpoint answered. */
    public void answered(ServicePortName name, Endpoint endpoint) {
        with(name, endpoint, EndpointTarget::answered);
    }

    /** Records that an endpoint refused a connection. */
    public void refused(ServicePortName name, Endpoint endpoint) {
        with(name, endpoint, target -> target.refused(Errno.text(Errno.ECONNREFUSED), now()));
    }

    /** Records that an endpoint did not answer a connection attempt in time. */
    public void silent(ServicePortName name, Endpoint endpoint) {
        with(name, endpoint, target -> target.timedOut(1, Errno.text(Errno.ETIMEDOUT), now()));
    }

    /** Opens a connection to an endpoint, and records how it ends. */
    public void check(ServicePortName name, Endpoint endpoint) {
        synchronized (lock) {
            ServiceState service = table.services.get(name);
            EndpointTarget target = service == null ? null : service.targetOf(endpoint);
            if (service != null && target != null) {
                table.healthChecker.checkOnce(service, target);
            }
        }
    }

    private void with(ServicePortName name, Endpoint endpoint, Consumer<EndpointTarget> action) {
        ServiceState service = table.services.get(name);
        EndpointTarget target = service == null ? null : service.targetOf(endpoint);
        if (target != null) {
            action.accept(target);
        }
    }

    private long now() {
        return config.nanoClock().getAsLong();
    }

    /**
     * Opens a trial connection to each ejected endpoint of a service port whose ejection has lasted for its time. Clients
     * that choose among the other endpoints only would never do it.
     */
    public void tryEjected(ServicePortName name) {
        synchronized (lock) {
            ServiceState service = table.services.get(name);
            if (service != null) {
                table.healthChecker.tryEjected(service);
            }
        }
    }
}
