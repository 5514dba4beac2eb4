package io.sluice.model;

import java.util.List;
import java.util.Set;

/**
 * Derives the origin of a client from its address.
 *
 * @param pods the ranges of pod addresses; empty without local traffic detection, and then no client counts as a pod
 * @param node the addresses of this node; loopback addresses count as well and need not be in the set
 */
public record Origins(List<Cidr> pods, Set<IpAddress> node) {
    /** No ranges and no addresses: only loopback clients count as this node. */
    public static final Origins UNKNOWN = new Origins(List.of(), Set.of());

    public Origins {
        pods = List.copyOf(pods);
        node = Set.copyOf(node);
    }

    /**
     * The origin of a client. As in kube-proxy, the pod ranges take precedence over the node's addresses: a node address
     * inside a pod range, such as that of a host-network pod, counts as a pod.
     */
    public Origin of(IpAddress client) {
        if (Cidr.anyContains(pods, client)) {
            return Origin.POD;
        }
        return client.isLoopback() || node.contains(client) ? Origin.NODE : Origin.EXTERNAL;
    }
}
