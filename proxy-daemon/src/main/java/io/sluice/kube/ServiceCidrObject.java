package io.sluice.kube;

import io.sluice.model.Cidr;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** A ServiceCIDR: ranges that cluster IPs are taken from. */
record ServiceCidrObject(ObjectKey key, List<Cidr> cidrs) implements KubeObject {
    ServiceCidrObject {
        cidrs = List.copyOf(cidrs);
    }

    @Override
    public @Nullable ServiceKey service() {
        return null;
    }
}
