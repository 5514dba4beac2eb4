package io.sluice.kube;

import io.sluice.model.IpAddress;
import java.util.List;

/**
 * An EndpointSlice, or a legacy Endpoints object: which addresses serve which ports of a Service.
 *
 * @param service the Service it belongs to, whether or not that exists
 * @param groups one for a slice, one per subset for Endpoints
 */
record EndpointsObject(ObjectKey key, ServiceKey service, List<Group> groups) implements KubeObject {
    EndpointsObject {
        groups = List.copyOf(groups);
    }

    /** Each address serves each of the ports. */
    record Group(List<NamedPort> ports, List<Backend> backends) {
        Group {
            ports = List.copyOf(ports);
            backends = List.copyOf(backends);
        }
    }

    /** An address and its conditions, absent ones filled in as kube-proxy does. */
    record Backend(IpAddress address, boolean ready, boolean serving, boolean terminating) {}
}
