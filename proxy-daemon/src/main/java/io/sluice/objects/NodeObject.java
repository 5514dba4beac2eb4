package io.sluice.objects;

import io.sluice.model.Cidr;
import io.sluice.model.IpAddress;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A Node; only that of this node is of interest.
 *
 * @param zone empty if it has no such label
 * @param addresses its internal ones, then its external ones
 * @param unfit why it should get no new traffic; empty if it should
 */
public record NodeObject(ObjectKey key, String zone, List<IpAddress> addresses, List<Cidr> podCidrs, String unfit)
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
