package io.sluice.balance;

import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import io.sluice.model.ServicePortName;
import java.util.List;

/**
 * The load balancing state of a service port that a handover transfers to the new process. The record components are
 * keys of the handover's JSON format, so do not rename them. A process of an older version does not send or read
 * components that are added later.
 *
 * @param name the service port
 * @param turns the next endpoint of each round robin of the service port, in the order of {@link ServiceState}
 * @param pins the session affinity entries
 */
public record BalancePosition(ServicePortName name, List<Endpoint> turns, List<AffinityEntry> pins) {
    /**
     * A session affinity entry.
     *
     * @param idleNanos the time since the last new connection or flow of the client
     */
    public record AffinityEntry(IpAddress client, Endpoint endpoint, long idleNanos) {}
}
