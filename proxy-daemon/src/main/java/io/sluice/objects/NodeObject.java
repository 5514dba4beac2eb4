package io.sluice.objects;

import io.sluice.model.Cidr;
import io.sluice.model.IpAddress;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A Node. Only the Node of this node is used.
 *
 * @param zone the zone label; empty if there is none
 * @param addresses its internal addresses, then its external ones
 * @param ineligible why it is not eligible for new traffic from load balancers; empty if it is eligible
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
