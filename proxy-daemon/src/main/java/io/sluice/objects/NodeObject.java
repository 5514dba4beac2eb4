package io.sluice.objects;

import io.sluice.model.Cidr;
import io.sluice.model.IpAddress;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A Node object. Sluice uses only the Node object of the node on which it runs.
 *
 * @param zone the zone label; empty if there is none
 * @param addresses the node's internal addresses, then its external ones
 * @param ineligible the reason why the node is not eligible for new traffic from load balancers; empty if it is
 *     eligible
 */
public record NodeObject(ObjectKey key, String zone, List<IpAddress> addresses, List<Cidr> podCidrs, String ineligible)
        implements KubeObject {
    public NodeObject {
        addresses = List.copyOf(addresses);
        podCidrs = List.copyOf(podCidrs);
    }

    @Override
    public @Nullable ServiceKey service() {
        return null;
    }
}
