package io.sluice.kube;

import io.sluice.kube.EndpointsObject.Backend;
import io.sluice.kube.EndpointsObject.Group;
import io.sluice.kube.EndpointsObject.Hints;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.SessionAffinity;
import java.time.DateTimeException;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * From one JSON tree to one {@link KubeObject}. Absent fields get the values the API server would give them, since a
 * manifest may never have seen one. What is wrong becomes a {@link Problem}; a bad port or endpoint is left out and the
 * rest of its object counts.
 */
final class ObjectParser {
    static final String SERVICE_NAME = "kubernetes.io/service-name";
    private static final String PROXY_NAME = "service.kubernetes.io/service-proxy-name";
    private static final String HEADLESS = "service.kubernetes.io/headless";
    private static final String ZONE = "topology.kubernetes.io/zone";
    private static final int MAX_AFFINITY_SECONDS = 86_400;

    private ObjectParser() {}

    /** The object; null if there is nothing usable in it. If that is a fault, it was reported. */
    static @Nullable KubeObject parse(Kind kind, JsonNode node, String source, List<Problem> problems) {
        String in = kind.ofCluster() ? "" : labelPart(node, "namespace", "default") + "/";
        String label = kind.text() + " " + in + labelPart(node, "name", "?");
        Field root = Field.root(node, new Field.Report(source, label, problems));
        Field metadata = root.get("metadata").object();
        String name = metadata.get("name").requiredName();
        String namespace = kind.ofCluster() ? "" : metadata.get("namespace").optionalName();
        if (name == null || namespace == null) {
            return null;
        }
        ObjectKey key = new ObjectKey(kind, namespace.isEmpty() && !kind.ofCluster() ? "default" : namespace, name);
        return switch (kind) {
            case SERVICE -> service(key, metadata, root.get("spec").object());
            case ENDPOINT_SLICE -> slice(key, metadata, root);
            case ENDPOINTS -> endpoints(key, root);
            case NODE ->
                new NodeObject(key, metadata.get("labels").object().get(ZONE).text(""));
        };
    }

    private static String labelPart(JsonNode node, String field, String absent) {
        JsonNode value = node.path("metadata").path(field);
        String text = value.stringValue(absent);
        return text.isEmpty() ? absent : Field.isName(text) ? text : "?";
    }

    private static ServiceObject service(ObjectKey key, Field metadata, Field spec) {
        long created = created(metadata.get("creationTimestamp"));
        List<IpAddress> clusterIps = List.of();
        if (!metadata.get("labels").object().has(PROXY_NAME) && !isExternalName(spec) && !isHeadless(spec)) {
            clusterIps = clusterIps(spec);
        }
        if (clusterIps.isEmpty()) {
            // Nobody serves it here, so what else it says needs no checking.
            return new ServiceObject(key, created, clusterIps, SessionAffinity.NONE, false, false, List.of());
        }
        return new ServiceObject(
                key,
                created,
                clusterIps,
                affinity(spec),
                isLocal(spec.get("internalTrafficPolicy")),
                isLocal(spec.get("externalTrafficPolicy")),
                servicePorts(spec.get("ports")));
    }

    private static boolean isLocal(Field policy) {
        String text = policy.text("Cluster");
        if (!text.equals("Local") && !text.equals("Cluster") && !text.isEmpty()) {
            policy.error(policy.quoted() + " is not Cluster or Local");
        }
        return text.equals("Local");
    }

    private static boolean isExternalName(Field spec) {
        Field type = spec.get("type");
        String text = type.text("ClusterIP");
        switch (text) {
            case "ClusterIP", "NodePort", "LoadBalancer", "" -> {
                return false;
            }
            case "ExternalName" -> {
                return true;
            }
            default -> {
                type.error(type.quoted() + " is not ClusterIP, NodePort, LoadBalancer or ExternalName");
                return false;
            }
        }
    }

    private static boolean isHeadless(Field spec) {
        if (spec.get("clusterIP").text("").equals("None")) {
            return true;
        }
        List<Field> all = spec.get("clusterIPs").items();
        return !all.isEmpty() && all.get(0).text("").equals("None");
    }

    private static List<IpAddress> clusterIps(Field spec) {
        List<Field> fields = spec.get("clusterIPs").items();
        Field single = spec.get("clusterIP");
        if (fields.isEmpty() && !single.text("").isEmpty()) {
            fields = List.of(single);
        } else if (fields.isEmpty()) {
            if (!single.present() || single.text() != null) {
                single.warning("not set, so there is no address to listen on; without an API server, choose one");
            }
        }
        List<IpAddress> addresses = new ArrayList<>(fields.size());
        for (Field field : fields) {
            IpAddress address = field.address();
            if (address != null && !addresses.contains(address)) {
                addresses.add(address);
            }
        }
        return addresses;
    }

    private static List<NamedPort> servicePorts(Field list) {
        List<NamedPort> ports = new ArrayList<>();
        for (Field field : list.objects()) {
            NamedPort port = port(field, field.get("protocol").protocol());
            if (port == null) {
                continue;
            }
            if (ports.stream().anyMatch(port::joins)) {
                field.error("the name \"" + port.name() + "\" is taken by another " + port.protocol()
                        + " port of this Service; each needs its own");
            } else {
                ports.add(port);
            }
        }
        if (!list.present() || list.isEmptyList()) {
            list.error("missing; a Service needs at least one port");
        }
        return ports;
    }

    private static @Nullable NamedPort port(Field field, @Nullable Protocol protocol) {
        int number = field.get("port").required(1, 65_535);
        String name = field.get("name").optionalName();
        return number == 0 || protocol == null || name == null ? null : new NamedPort(name, protocol, number);
    }

    private static SessionAffinity affinity(Field spec) {
        Field mode = spec.get("sessionAffinity");
        String text = mode.text("None");
        if (text.equals("ClientIP")) {
            Field timeout = spec.get("sessionAffinityConfig")
                    .object()
                    .get("clientIP")
                    .object()
                    .get("timeoutSeconds");
            int seconds = timeout.present() ? timeout.required(1, MAX_AFFINITY_SECONDS) : 0;
            return new SessionAffinity(seconds == 0 ? SessionAffinity.DEFAULT_TIMEOUT_SECONDS : seconds);
        }
        if (!text.equals("None") && !text.isEmpty()) {
            mode.error(mode.quoted() + " is not None or ClientIP");
        }
        return SessionAffinity.NONE;
    }

    private static long created(Field field) {
        String text = field.text();
        if (text == null) {
            return ServiceObject.NOT_CREATED;
        }
        try {
            return OffsetDateTime.parse(text).toEpochSecond();
        } catch (DateTimeException e) {
            field.warning(field.quoted() + " is not a time such as 2026-01-31T12:00:00Z");
            return ServiceObject.NOT_CREATED;
        }
    }

    private static @Nullable EndpointsObject slice(ObjectKey key, Field metadata, Field root) {
        Field labels = metadata.get("labels").object();
        if (labels.has(HEADLESS)) {
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
        Field addressType = root.get("addressType");
        String type = addressType.text();
        if (type == null) {
            if (!addressType.present()) {
                addressType.error("missing; allowed are IPv4, IPv6 and FQDN");
            }
            return null;
        }
        ServiceKey owner = new ServiceKey(key.namespace(), service);
        return switch (type) {
            case "IPv4", "IPv6" -> new EndpointsObject(key, owner, List.of(sliceGroup(root, type.equals("IPv6"))));
            // Names are not resolved; but the Service does have a slice, which rules out its legacy Endpoints.
            case "FQDN" -> new EndpointsObject(key, owner, List.of());
            default -> {
                addressType.error(addressType.quoted() + " is not IPv4, IPv6 or FQDN");
                yield null;
            }
        };
    }

    private static Group sliceGroup(Field root, boolean v6) {
        List<Backend> backends = new ArrayList<>();
        // There are many endpoints and few zones: equal hints are kept once.
        Map<Hints, Hints> seen = new HashMap<>();
        for (Field endpoint : root.get("endpoints").objects()) {
            // Only the first address counts: the API leaves the meaning of further ones open.
            List<Field> addresses = endpoint.get("addresses").items();
            if (addresses.isEmpty()) {
                endpoint.get("addresses").error("missing; an endpoint needs one address");
                continue;
            }
            IpAddress address = addresses.get(0).address();
            if (address != null && address.v6() != v6) {
                addresses.get(0).error("\"" + address + "\" is not of the slice's addressType");
            } else if (address != null) {
                Backend backend = backend(address, endpoint, seen);
                if (backend != null) {
                    backends.add(backend);
                }
            }
        }
        return new Group(endpointPorts(root.get("ports")), backends);
    }

    /** A node name or a hint that is wrong is as good as none: the endpoint still serves. */
    private static @Nullable Backend backend(IpAddress address, Field endpoint, Map<Hints, Hints> seen) {
        Field conditions = endpoint.get("conditions").object();
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

    private static Hints hints(Field hints) {
        List<Field> forZones = hints.get("forZones").objects();
        List<Field> forNodes = hints.get("forNodes").objects();
        if (forZones.isEmpty() && forNodes.isEmpty()) {
            return Hints.NONE;
        }
        List<String> zones = new ArrayList<>();
        for (Field zone : forZones) {
            String name = zone.get("name").requiredText();
            if (name != null) {
                zones.add(name.intern());
            }
        }
        List<String> nodes = new ArrayList<>();
        for (Field node : forNodes) {
            String name = node.get("name").requiredName();
            if (name != null) {
                nodes.add(name.intern());
            }
        }
        return new Hints(zones, nodes);
    }

    private static EndpointsObject endpoints(ObjectKey key, Field root) {
        List<Group> groups = new ArrayList<>();
        for (Field subset : root.get("subsets").objects()) {
            List<Backend> backends = new ArrayList<>();
            for (Field endpoint : subset.get("addresses").objects()) {
                IpAddress address = endpoint.get("ip").address();
                if (address != null) {
                    backends.add(new Backend(address, true, true, false, "", Hints.NONE));
                }
            }
            groups.add(new Group(endpointPorts(subset.get("ports")), backends));
        }
        return new EndpointsObject(key, new ServiceKey(key.namespace(), key.name()), groups);
    }

    private static List<NamedPort> endpointPorts(Field list) {
        List<NamedPort> ports = new ArrayList<>();
        for (Field field : list.objects()) {
            Field protocol = field.get("protocol");
            // An SCTP port is reported once, at the Service that has it.
            NamedPort port = port(field, protocol.isSctp() ? null : protocol.protocol());
            if (port != null) {
                ports.add(port);
            }
        }
        return ports;
    }
}
