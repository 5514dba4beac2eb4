package io.sluice.objects;

import io.sluice.document.FieldReader;
import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import io.sluice.objects.EndpointsObject.EndpointGroup;
import io.sluice.objects.EndpointsObject.Hints;
import io.sluice.objects.EndpointsObject.SliceEndpoint;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Parses EndpointSlices and legacy Endpoints. Reports and skips invalid ports and endpoints, and keeps the others. */
final class EndpointsParser {
    private static final String SERVICE_NAME = "kubernetes.io/service-name";

    private EndpointsParser() {}

    static @Nullable EndpointsObject slice(ObjectKey key, FieldReader metadata, FieldReader root) {
        FieldReader labels = metadata.get("labels").object();
        if (labels.has(ServiceParser.HEADLESS)) {
            return null;
        }
        String service = labels.get(SERVICE_NAME).optionalName();
        if (service == null) {
            return null;
        }
        if (service.isEmpty()) {
            labels.get(SERVICE_NAME).warning("missing; it must name the Service that the slice belongs to");
            return null;
        }
        FieldReader addressType = root.get("addressType");
        String type = addressType.string();
        if (type == null) {
            if (!addressType.present()) {
                addressType.error("missing; must be IPv4, IPv6 or FQDN");
            }
            return null;
        }
        ServiceKey owner = new ServiceKey(key.namespace(), service);
        return switch (type) {
            case "IPv4" -> new EndpointsObject(key, owner, List.of(sliceGroup(root, Family.IPV4)));
            case "IPv6" -> new EndpointsObject(key, owner, List.of(sliceGroup(root, Family.IPV6)));
            // Names are not resolved, but the Service has a slice, so its legacy Endpoints are not used.
            case "FQDN" -> new EndpointsObject(key, owner, List.of());
            default -> {
                addressType.error(addressType.quoted() + " is not IPv4, IPv6 or FQDN");
                yield null;
            }
        };
    }

    private static EndpointGroup sliceGroup(FieldReader root, Family family) {
        List<SliceEndpoint> sliceEndpoints = new ArrayList<>();
        // There are many endpoints and few zones, so equal hints share one instance.
        Map<Hints, Hints> seen = new HashMap<>();
        for (FieldReader endpoint : root.get("endpoints").objects()) {
            // Only the first address is used: the API does not define the meaning of the others.
            List<FieldReader> addresses = endpoint.get("addresses").items();
            if (addresses.isEmpty()) {
                endpoint.get("addresses").error("missing; an endpoint must have an address");
                continue;
            }
            IpAddress address = addresses.get(0).address();
            if (address != null && address.family() != family) {
                addresses.get(0).error(addresses.get(0).quoted() + " does not match the slice's addressType");
            } else if (address != null) {
                SliceEndpoint sliceEndpoint = sliceEndpoint(address, endpoint, seen);
                if (sliceEndpoint != null) {
                    sliceEndpoints.add(sliceEndpoint);
                }
            }
        }
        return new EndpointGroup(endpointPorts(root.get("ports")), sliceEndpoints);
    }

    /** Parses an endpoint; null if it is invalid. An invalid node name or hint is treated as absent. */
    private static @Nullable SliceEndpoint sliceEndpoint(
            IpAddress address, FieldReader endpoint, Map<Hints, Hints> seen) {
        FieldReader conditions = endpoint.get("conditions").object();
        Boolean ready = conditions.get("ready").bool(true);
        Boolean serving = conditions.get("serving").bool(true);
        Boolean terminating = conditions.get("terminating").bool(false);
        String nodeName = endpoint.get("nodeName").optionalName();
        Hints hints = hints(endpoint.get("hints").object());
        if (ready == null || serving == null || terminating == null) {
            return null;
        }
        Hints shared = seen.putIfAbsent(hints, hints);
        return new SliceEndpoint(
                address,
                ready,
                serving,
                terminating,
                // Equal names share one instance, because a cluster has far fewer nodes than endpoints.
                nodeName == null ? "" : nodeName.intern(),
                endpoint.get("zone").string("").intern(),
                shared == null ? hints : shared);
    }

    private static Hints hints(FieldReader hints) {
        List<FieldReader> forZones = hints.get("forZones").objects();
        List<FieldReader> forNodes = hints.get("forNodes").objects();
        if (forZones.isEmpty() && forNodes.isEmpty()) {
            return Hints.NONE;
        }
        List<String> zones = new ArrayList<>();
        for (FieldReader zone : forZones) {
            String name = zone.get("name").requiredString();
            if (name != null) {
                zones.add(name.intern());
            }
        }
        List<String> nodes = new ArrayList<>();
        for (FieldReader node : forNodes) {
            String name = node.get("name").requiredName();
            if (name != null) {
                nodes.add(name.intern());
            }
        }
        return new Hints(zones, nodes);
    }

    /** Parses legacy Endpoints as the EndpointSlice mirroring controller does. Only the ready condition exists. */
    static EndpointsObject endpoints(ObjectKey key, FieldReader root) {
        List<EndpointGroup> groups = new ArrayList<>();
        for (FieldReader subset : root.get("subsets").objects()) {
            List<SliceEndpoint> sliceEndpoints = new ArrayList<>();
            addAll(subset.get("addresses"), true, sliceEndpoints);
            addAll(subset.get("notReadyAddresses"), false, sliceEndpoints);
            groups.add(new EndpointGroup(endpointPorts(subset.get("ports")), sliceEndpoints));
        }
        return new EndpointsObject(key, new ServiceKey(key.namespace(), key.name()), groups);
    }

    private static void addAll(FieldReader list, boolean ready, List<SliceEndpoint> sliceEndpoints) {
        for (FieldReader endpoint : list.objects()) {
            IpAddress address = endpoint.get("ip").address();
            String nodeName = endpoint.get("nodeName").optionalName();
            if (address != null) {
                sliceEndpoints.add(new SliceEndpoint(
                        address, ready, true, false, nodeName == null ? "" : nodeName.intern(), Hints.NONE));
            }
        }
    }

    private static List<NamedPort> endpointPorts(FieldReader list) {
        List<NamedPort> ports = new ArrayList<>();
        for (FieldReader field : list.objects()) {
            if (!field.get("port").present()) {
                // In the API, a missing port number means all ports; kube-proxy ignores such a port.
                field.get("port").warning("not set, so the port is ignored");
                continue;
            }
            NamedPort port = PortParser.parseEndpointPort(field);
            if (port != null) {
                ports.add(port);
            }
        }
        return ports;
    }
}
