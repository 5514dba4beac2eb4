package io.sluice.objects;

import io.sluice.document.FieldReader;
import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import io.sluice.objects.EndpointsObject.Backend;
import io.sluice.objects.EndpointsObject.EndpointGroup;
import io.sluice.objects.EndpointsObject.Hints;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** EndpointSlices and legacy Endpoints: a bad port or endpoint is reported and left out, and the rest counts. */
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
            labels.get(SERVICE_NAME).warning("missing; it says which Service the slice belongs to");
            return null;
        }
        FieldReader addressType = root.get("addressType");
        String type = addressType.text();
        if (type == null) {
            if (!addressType.present()) {
                addressType.error("missing; allowed are IPv4, IPv6 and FQDN");
            }
            return null;
        }
        ServiceKey owner = new ServiceKey(key.namespace(), service);
        return switch (type) {
            case "IPv4" -> new EndpointsObject(key, owner, List.of(sliceGroup(root, Family.IPV4)));
            case "IPv6" -> new EndpointsObject(key, owner, List.of(sliceGroup(root, Family.IPV6)));
            // Names are not resolved; but the Service does have a slice, which rules out its legacy Endpoints.
            case "FQDN" -> new EndpointsObject(key, owner, List.of());
            default -> {
                addressType.error(addressType.quoted() + " is not IPv4, IPv6 or FQDN");
                yield null;
            }
        };
    }

    private static EndpointGroup sliceGroup(FieldReader root, Family family) {
        List<Backend> backends = new ArrayList<>();
        // There are many endpoints and few zones: equal hints are kept once.
        Map<Hints, Hints> seen = new HashMap<>();
        for (FieldReader endpoint : root.get("endpoints").objects()) {
            // Only the first address counts: the API leaves the meaning of further ones open.
            List<FieldReader> addresses = endpoint.get("addresses").items();
            if (addresses.isEmpty()) {
                endpoint.get("addresses").error("missing; an endpoint needs one address");
                continue;
            }
            IpAddress address = addresses.get(0).address();
            if (address != null && address.family() != family) {
                addresses.get(0).error("\"" + address + "\" is not of the slice's addressType");
            } else if (address != null) {
                Backend backend = backend(address, endpoint, seen);
                if (backend != null) {
                    backends.add(backend);
                }
            }
        }
        return new EndpointGroup(endpointPorts(root.get("ports")), backends);
    }

    /** A node name or a hint that is wrong is as good as none: the endpoint still serves. */
    private static @Nullable Backend backend(IpAddress address, FieldReader endpoint, Map<Hints, Hints> seen) {
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
        return new Backend(
                address,
                ready,
                serving,
                terminating,
                // A cluster has far fewer nodes than endpoints.
                nodeName == null ? "" : nodeName.intern(),
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
            String name = zone.get("name").requiredText();
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

    /** As the mirroring controller would make slices of it: what is not ready has no other condition. */
    static EndpointsObject endpoints(ObjectKey key, FieldReader root) {
        List<EndpointGroup> groups = new ArrayList<>();
        for (FieldReader subset : root.get("subsets").objects()) {
            List<Backend> backends = new ArrayList<>();
            addAll(subset.get("addresses"), true, backends);
            addAll(subset.get("notReadyAddresses"), false, backends);
            groups.add(new EndpointGroup(endpointPorts(subset.get("ports")), backends));
        }
        return new EndpointsObject(key, new ServiceKey(key.namespace(), key.name()), groups);
    }

    private static void addAll(FieldReader list, boolean ready, List<Backend> backends) {
        for (FieldReader endpoint : list.objects()) {
            IpAddress address = endpoint.get("ip").address();
            String nodeName = endpoint.get("nodeName").optionalName();
            if (address != null) {
                backends.add(new Backend(
                        address, ready, true, false, nodeName == null ? "" : nodeName.intern(), Hints.NONE));
            }
        }
    }

    private static List<NamedPort> endpointPorts(FieldReader list) {
        List<NamedPort> ports = new ArrayList<>();
        for (FieldReader field : list.objects()) {
            if (!field.get("port").present()) {
                // The API would have it stand for all ports; kube-proxy leaves it out.
                field.get("port").warning("not set, so there is nothing to connect to, and it is left out");
                continue;
            }
            NamedPort port = PortParser.parseOfEndpoints(field);
            if (port != null) {
                ports.add(port);
            }
        }
        return ports;
    }
}
