package io.sluice.objects;

import io.sluice.model.Cidr;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** A ServiceCIDR: ranges from which ClusterIPs are allocated. */
public record ServiceCidrObject(ObjectKey key, List<Cidr> cidrs) implements KubeObject {
    public ServiceCidrObject {
        cidrs = List.copyOf(cidrs);
    }

    @Override
    public @Nullable ServiceKey service() {
        return null;
    }
}
