package io.sluice.model;

import java.util.List;
import java.util.Set;

/**
 * Derives the origin of a client from its address.
 *
 * @param pods the ranges of pod addresses; empty without local traffic detection, in which case no client counts as a
 *     pod
 * @param node the addresses of this node; need not contain loopback addresses, which always count as addresses of the
 *     node
 */
public record Origins(List<Cidr> pods, Set<IpAddress> node) {
    /** No pod ranges and no node addresses: loopback clients have origin {@code NODE}, all others {@code EXTERNAL}. */
    public static final Origins UNKNOWN = new Origins(List.of(), Set.of());

    public Origins {
        pods = List.copyOf(pods);
        node = Set.copyOf(node);
    }

    /**
     * The origin of a client. As in kube-proxy, the pod ranges take precedence over the node's addresses: a client with
     * a node address inside a pod range counts as a pod.
     */
    public Origin of(IpAddress client) {
        if (Cidr.anyContains(pods, client)) {
            return Origin.POD;
        }
        return client.isLoopback() || node.contains(client) ? Origin.NODE : Origin.EXTERNAL;
    }
}
