package io.sluice.rules;

/** Short manifests for tests. */
public final class Manifests {
    private Manifests() {}

    /** A Service {@code default/NAME} with port 80. */
    public static String service(String name, String clusterIp) {
        return """
                ---
                apiVersion: v1
                kind: Service
                metadata: {name: %s}
                spec: {clusterIP: %s, ports: [{port: 80}]}
                """.formatted(name, clusterIp);
    }

    /** A slice with one endpoint on port 8080. */
    public static String slice(String service, String address) {
        return """
                ---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: %s-1, labels: {kubernetes.io/service-name: %s}}
                addressType: IPv4
                ports: [{port: 8080}]
                endpoints: [{addresses: [%s]}]
                """.formatted(service, service, address);
    }
}
