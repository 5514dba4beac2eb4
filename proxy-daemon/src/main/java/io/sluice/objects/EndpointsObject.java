package io.sluice.objects;

import io.sluice.model.IpAddress;
import java.util.List;

/**
 * The endpoints of a Service, from an EndpointSlice or a legacy Endpoints object.
 *
 * @param service the Service that the object belongs to, which need not exist
 * @param groups one group for an EndpointSlice, or one group per subset for Endpoints
 */
public record EndpointsObject(ObjectKey key, ServiceKey service, List<EndpointGroup> groups) implements KubeObject {
    public EndpointsObject {
        groups = List.copyOf(groups);
    }

    /** A set of addresses, each of which serves all of the ports. */
    public record EndpointGroup(List<NamedPort> ports, List<SliceEndpoint> sliceEndpoints) {
        public EndpointGroup {
            ports = List.copyOf(ports);
            sliceEndpoints = List.copyOf(sliceEndpoints);
        }
    }

    /**
     * An endpoint address and its conditions. Absent conditions get the same defaults as in kube-proxy.
     *
     * @param nodeName name of the endpoint's node; empty if unknown
     * @param zone zone of the endpoint; empty if unknown
     */
    public record SliceEndpoint(
            IpAddress address,
            boolean ready,
            boolean serving,
            boolean terminating,
            String nodeName,
            String zone,
            Hints hints) {
        /** Creates an endpoint whose zone is unknown. */
        public SliceEndpoint(
                IpAddress address, boolean ready, boolean serving, boolean terminating, String nodeName, Hints hints) {
            this(address, ready, serving, terminating, nodeName, "", hints);
        }
    }

    /** The zones and nodes whose traffic an endpoint should receive. Both lists are empty if there is no hint. */
    public record Hints(List<String> zones, List<String> nodes) {
        /** No hints. */
        public static final Hints NONE = new Hints(List.of(), List.of());

        public Hints {
            zones = List.copyOf(zones);
            nodes = List.copyOf(nodes);
        }
    }
}
