package io.sluice.kube;

import io.sluice.model.Cidr;
import java.util.List;

/**
 * What, beside the objects, decides a snapshot.
 *
 * @param nodeName this node; empty if unknown, and then no endpoint is local
 * @param frontendMap ranges whose frontends are listened on elsewhere, first match counts
 */
public record BuildOptions(String nodeName, List<AddressMap> frontendMap) {
    public BuildOptions {
        frontendMap = List.copyOf(frontendMap);
    }

    /** Moves frontend addresses in {@code from} to the same place in {@code to}; both of one family and size. */
    public record AddressMap(Cidr from, Cidr to) {}
}
