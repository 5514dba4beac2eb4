package io.sluice.model;

import java.util.List;
import java.util.Set;

/**
 * Tells where a client is by its address.
 *
 * @param pods ranges whose addresses are pods; empty if that cannot be told, and then none is
 * @param node the addresses of this node; loopback is always among them
 */
public record Origins(List<Cidr> pods, Set<IpAddress> node) {
    /** Nothing is known but that loopback is here. */
    public static final Origins UNKNOWN = new Origins(List.of(), Set.of());

    public Origins {
        pods = List.copyOf(pods);
        node = Set.copyOf(node);
    }

    /** A range goes before an address: pods of the host network count as pods where their range says so, as in kube-proxy. */
    public Origin of(IpAddress client) {
        if (Cidr.anyContains(pods, client)) {
            return Origin.POD;
        }
        return client.isLoopback() || node.contains(client) ? Origin.NODE : Origin.EXTERNAL;
    }
}
