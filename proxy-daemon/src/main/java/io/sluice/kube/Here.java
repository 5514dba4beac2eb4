package io.sluice.kube;

import io.sluice.kube.EndpointRules.Place;
import io.sluice.model.Cidr;
import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import io.sluice.model.Origins;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * This node as the rules see it, from the settings and its Node object.
 *
 * @param addresses the first of a family is its primary one; empty if unknown
 * @param pods ranges whose addresses are pods; a family without one does not tell its pods from others
 * @param nodePortAddresses where node ports answer
 */
record Here(
        Place place,
        List<IpAddress> addresses,
        List<Cidr> pods,
        List<IpAddress> nodePortAddresses,
        boolean masqueradeAll) {
    Here {
        addresses = List.copyOf(addresses);
        pods = List.copyOf(pods);
        nodePortAddresses = List.copyOf(nodePortAddresses);
    }

    static Here of(BuildOptions options, @Nullable NodeObject node) {
        List<IpAddress> addresses = options.nodeAddresses();
        if (addresses.isEmpty() && node != null) {
            addresses = node.addresses();
        }
        List<Cidr> pods = options.clusterCidrs();
        if (options.podsByNode()) {
            pods = node == null ? List.of() : node.podCidrs();
        }
        return new Here(
                new Place(options.nodeName(), node == null ? "" : node.zone()),
                addresses,
                pods,
                options.nodePortAddresses().select(addresses),
                options.masqueradeAll());
    }

    Origins origins() {
        return new Origins(pods, Set.copyOf(addresses));
    }

    /** Whether pods of a family can be told from other clients: what kube-proxy calls a local detector. */
    boolean tellsPods(Family family) {
        return pods.stream().anyMatch(range -> range.network().family() == family);
    }
}
