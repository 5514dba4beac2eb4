package io.sluice.kube;

import io.sluice.model.Cidr;
import io.sluice.model.IpAddress;
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
    public record AddressMap(Cidr from, Cidr to) {
        public AddressMap {
            if (from.prefix() != to.prefix()
                    || from.network().v6() != to.network().v6()) {
                throw new IllegalArgumentException(from + " and " + to + " differ in family or size");
            }
        }
    }

    /** Where a frontend's address is listened on. */
    IpAddress listenedOn(IpAddress address) {
        for (AddressMap map : frontendMap) {
            if (map.from().contains(address)) {
                return map.from().translate(address, map.to());
            }
        }
        return address;
    }
}
