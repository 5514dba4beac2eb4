package io.sluice.objects;

import io.sluice.model.IpAddress;
import java.util.List;

/**
 * An EndpointSlice, or a legacy Endpoints object: which addresses serve which ports of a Service.
 *
 * @param service the Service it belongs to, whether or not that exists
 * @param groups one for a slice, one per subset for Endpoints
 */
public record EndpointsObject(ObjectKey key, ServiceKey service, List<EndpointGroup> groups) implements KubeObject {
    public EndpointsObject {
        groups = List.copyOf(groups);
    }

    /** Each address serves each of the ports. */
    public record EndpointGroup(List<NamedPort> ports, List<Backend> backends) {
        public EndpointGroup {
            ports = List.copyOf(ports);
            backends = List.copyOf(backends);
        }
    }

    /**
     * An address and its conditions, absent ones filled in as kube-proxy does.
     *
     * @param nodeName the node it is on; empty if that is not said
     */
    public record Backend(
            IpAddress address, boolean ready, boolean serving, boolean terminating, String nodeName, Hints hints) {}

    /** Whose traffic an endpoint is meant for; an empty list is no hint. */
    public record Hints(List<String> zones, List<String> nodes) {
        public static final Hints NONE = new Hints(List.of(), List.of());

        public Hints {
            zones = List.copyOf(zones);
            nodes = List.copyOf(nodes);
        }
    }
}
