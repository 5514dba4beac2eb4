package io.sluice.rules;

import static java.util.Objects.requireNonNull;

import io.sluice.feed.ManifestReader;
import io.sluice.model.Cidr;
import io.sluice.model.IpAddress;
import io.sluice.rules.ObjectStore.SourceState;
import java.io.IOException;
import java.io.StringReader;
import java.io.UncheckedIOException;
import java.util.List;

/**
 * A synthetic cluster with one file per Service, which holds the Service and its EndpointSlice. Of eight Services, four
 * are ClusterIP, two NodePort and two LoadBalancer, one of which has externalTrafficPolicy Local and a health check
 * port. One of ten uses UDP, and one of five has zone hints.
 */
final class BigCluster {
    static final int ENDPOINTS_OF_EACH = 5;

    private static final int NODES = 1_000;
    private static final int ZONES = 3;

    private BigCluster() {}

    static BuildOptions options() {
        return new BuildOptions(
                "node-0",
                List.of(),
                List.of(requireNonNull(Cidr.parse("10.0.0.0/8"))),
                false,
                List.of(),
                NodePortAddresses.DEFAULT,
                false,
                List.of(),
                "",
                false);
    }

    static String source(int service) {
        return "service-" + service + ".json";
    }

    /**
     * Reads the state from a manifest, so that the store retains objects as the parser creates them, without sharing.
     */
    static SourceState state(int service, int endpoints) {
        return read(
                source(service),
                "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[" + service(service) + ","
                        + slice(service, endpoints) + "]}");
    }

    static SourceState node(String zone) {
        return read("node.json", """
                {"apiVersion":"v1","kind":"Node",
                 "metadata":{"name":"node-0","labels":{"topology.kubernetes.io/zone":"%s"}},
                 "status":{"addresses":[{"type":"InternalIP","address":"192.168.0.1"}]}}
                """.formatted(zone));
    }

    private static SourceState read(String source, String manifest) {
        try {
            ManifestReader.Manifest read = ManifestReader.read(source, "", new StringReader(manifest));
            if (!read.problems().isEmpty()) {
                throw new IllegalStateException(read.problems().toString());
            }
            return new SourceState(read.objects(), List.of());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String service(int i) {
        String type = i % 2 == 0 ? "ClusterIP" : i % 4 == 1 ? "NodePort" : "LoadBalancer";
        boolean local = i % 8 == 3;
        return """
                {"apiVersion":"v1","kind":"Service",
                 "metadata":{"namespace":"team-%d","name":"service-%d","creationTimestamp":"2026-01-01T00:00:00Z"},
                 "spec":{"type":"%s","clusterIP":"%s"%s,
                  "ports":[{"name":"http","protocol":"%s","port":80%s}]}%s}
                """.formatted(
                        i % 500,
                        i,
                        type,
                        IpAddress.v4(0xac000000 + i),
                        local ? ",\"externalTrafficPolicy\":\"Local\",\"healthCheckNodePort\":" + (10_000 + i / 8) : "",
                        protocol(i),
                        i % 2 == 0 ? "" : ",\"nodePort\":" + (20_000 + i / 2),
                        i % 4 == 3
                                ? ",\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\""
                                        + IpAddress.v4(0xcb000000 + i) + "\"}]}}"
                                : "");
    }

    private static String slice(int i, int endpoints) {
        StringBuilder list = new StringBuilder();
        for (int e = 0; e < endpoints; e++) {
            int address = i * ENDPOINTS_OF_EACH + e;
            list.append(e == 0 ? "" : ",")
                    .append("{\"addresses\":[\"%s\"],\"conditions\":{\"ready\":true},\"nodeName\":\"node-%d\"%s}"
                            .formatted(
                                    // Additional endpoints get addresses of another network.
                                    IpAddress.v4((e < ENDPOINTS_OF_EACH ? 0x0a000000 : 0x0b000000) + address),
                                    address % NODES,
                                    i % 5 == 0
                                            ? ",\"hints\":{\"forZones\":[{\"name\":\"" + zone(address) + "\"}]}"
                                            : ""));
        }
        return """
                {"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","addressType":"IPv4",
                 "metadata":{"namespace":"team-%d","name":"service-%d-x7k2p",
                  "labels":{"kubernetes.io/service-name":"service-%d"}},
                 "ports":[{"name":"http","protocol":"%s","port":8080}],
                 "endpoints":[%s]}
                """.formatted(i % 500, i, i, protocol(i), list);
    }

    private static String protocol(int i) {
        return i % 10 == 9 ? "UDP" : "TCP";
    }

    static String zone(int i) {
        return "zone-" + i % ZONES;
    }
}
