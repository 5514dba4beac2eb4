package io.sluice.balance;

import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import io.sluice.model.ServicePortName;
import java.util.List;

/**
 * Where the balancing of a service port stands, as a successor in another process needs it to go on. Written to it as
 * JSON, component by component: an older process does not know a new one.
 *
 * @param turns whose turn it is in each of its rotations
 */
public record BalancePosition(ServicePortName name, List<Endpoint> turns, List<AffinityEntry> pins) {
    /** A client that is held to an endpoint. */
    public record AffinityEntry(IpAddress client, Endpoint endpoint, long idleNanos) {}
}
