package io.sluice.daemon;

import static java.util.Objects.requireNonNull;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * Builds the manifests of a dual-stack Service and its EndpointSlices. The ClusterIPs are the addresses of its name; those of
 * the name with the suffix {@code -ext} are external IPs, with {@code -lb} LoadBalancer IPs. Ports have names like t80 (TCP)
 * and u80 (UDP).
 */
final class ServiceManifest {
    private final Map<String, List<String>> addresses;
    private final String name;
    private final List<String> ports = new ArrayList<>();
    private final StringBuilder slices = new StringBuilder();
    private String type = "NodePort";
    private String labels = "";
    private final List<String> annotations = new ArrayList<>();
    private String spec = "";
    private int sliceCount;

    /** @param addresses IPv4 and IPv6 addresses by name */
    ServiceManifest(Map<String, List<String>> addresses, String name) {
        this.addresses = addresses;
        this.name = name;
    }

    String name() {
        return name;
    }

    ServiceManifest type(String value) {
        type = value;
        return this;
    }

    ServiceManifest label(String label) {
        labels = label;
        return this;
    }

    /** Sets a key of the traffic policy. */
    ServiceManifest policy(String key, String value) {
        annotations.add("service.sluice.io/" + key + ": '" + value + "'");
        return this;
    }

    /** Adds fields to the spec, such as {@code sessionAffinity: ClientIP}. */
    ServiceManifest spec(String fields) {
        spec += ", " + fields;
        return this;
    }

    /** Adds port 80 over TCP and UDP with a NodePort. A Service without ports gets port 80 without a NodePort. */
    ServiceManifest nodePort(int nodePort) {
        return port("TCP", 80, nodePort).port("UDP", 80, nodePort);
    }

    ServiceManifest port(String protocol, int port, int nodePort) {
        ports.add("{name: %s%d, port: %d, protocol: %s, nodePort: %d}"
                .formatted(protocol.substring(0, 1).toLowerCase(Locale.ROOT), port, port, protocol, nodePort));
        return this;
    }

    /** @param endpoints endpoints of port 80 at their port 8080; see {@link #slice} */
    ServiceManifest endpoints(String... endpoints) {
        return slice(80, 8080, endpoints);
    }

    /** @param endpoints names, optionally followed by a state in {@link #STATES} */
    ServiceManifest slice(int servicePort, int port, String... endpoints) {
        sliceCount++;
        for (int family = 0; family < 2; family++) {
            List<String> list = new ArrayList<>();
            for (String endpoint : endpoints) {
                list.add(endpoint(endpoint.split(" "), family));
            }
            slices.append("""
                    ---
                    apiVersion: discovery.k8s.io/v1
                    kind: EndpointSlice
                    metadata: {name: %s-%d-%d, labels: {kubernetes.io/service-name: %s}}
                    addressType: IPv%d
                    ports: [{name: t%d, port: %d}, {name: u%d, port: %d, protocol: UDP}]
                    endpoints: [%s]
                    """.formatted(
                            name,
                            sliceCount,
                            family,
                            name,
                            family == 0 ? 4 : 6,
                            servicePort,
                            port,
                            servicePort,
                            port,
                            String.join(", ", list)));
        }
        return this;
    }

    /** Fields of endpoints in an EndpointSlice by state; {@code NODE} stands for the endpoint's node. */
    private static final Map<String, String> STATES = Map.of(
            "unready", "conditions: {ready: false, serving: false, terminating: false}",
            "terminating", "conditions: {ready: false, serving: true, terminating: true}",
            "ending", "conditions: {ready: false, serving: false, terminating: true}",
            // with publishNotReadyAddresses
            "published", "conditions: {ready: true, serving: false, terminating: true}",
            // with trafficDistribution
            "PreferSameZone", "hints: {forZones: [{name: zone-NODE}]}",
            "PreferSameNode", "hints: {forZones: [{name: zone-NODE}], forNodes: [{name: NODE}]}");

    private List<String> addresses(String of) {
        return requireNonNull(addresses.get(of), of);
    }

    private String endpoint(String[] words, int family) {
        String node = NodeLab.nodeName(words[0]);
        String state = words.length == 1
                ? ""
                : ", " + requireNonNull(STATES.get(words[1]), words[1]).replace("NODE", node);
        return "{addresses: ['" + addresses(words[0]).get(family) + "'], nodeName: " + node + state + "}";
    }

    private String list(String suffix, String before, String after) {
        return addresses.containsKey(name + suffix)
                ? addresses(name + suffix).stream()
                        .map(address -> before + address + after)
                        .collect(Collectors.joining(", "))
                : "";
    }

    @Override
    public String toString() {
        return """
                ---
                apiVersion: v1
                kind: Service
                metadata: {name: %s, labels: {%s}, annotations: {%s}}
                spec: {type: %s, clusterIP: '%s', clusterIPs: [%s], ipFamilies: [IPv4, IPv6], externalIPs: [%s],
                  ports: [%s]%s}
                status: {loadBalancer: {ingress: [%s]}}
                """.formatted(
                                name,
                                labels,
                                String.join(", ", annotations),
                                type,
                                addresses(name).get(0),
                                list("", "'", "'"),
                                list("-ext", "'", "'"),
                                ports.isEmpty()
                                        ? "{name: t80, port: 80}, {name: u80, port: 80, protocol: UDP}"
                                        : String.join(", ", ports),
                                spec,
                                list("-lb", "{ip: '", "'}"))
                + slices;
    }
}
