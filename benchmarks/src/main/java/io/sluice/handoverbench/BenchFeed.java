package io.sluice.handoverbench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/** The manifests of three Services: one with most connections, one that is removed, and one that waits for endpoints. */
final class BenchFeed {
    static final String REMOVED = "removed";
    static final String WAITING = "waiting";
    private static final String WEB = "web";

    private final Path directory;
    private final BenchNetwork network;
    private final int endpointPort;

    BenchFeed(Path directory, BenchNetwork network, int endpointPort) throws IOException {
        this.directory = Files.createDirectory(directory);
        this.network = network;
        this.endpointPort = endpointPort;
        String addresses = network.service(1) + ", \"" + network.service6() + "\"";
        write(WEB, service(WEB, addresses, "", true) + endpoints(WEB, true));
        write(REMOVED, service(REMOVED, network.service(2), "", false) + endpoints(REMOVED, false));
        write(WAITING, service(WAITING, network.service(3), "\n    service.sluice.io/hold: 1h", false));
    }

    Path directory() {
        return directory;
    }

    void removeService() throws IOException {
        Files.delete(file(REMOVED));
    }

    void addWaitingEndpoints() throws IOException {
        write("waiting-endpoints", endpoints(WAITING, false));
    }

    private String service(String name, String addresses, String annotation, boolean udp) {
        String annotations = annotation.isEmpty() ? "" : "\n  annotations:" + annotation;
        return """
                apiVersion: v1
                kind: Service
                metadata:
                  name: %s
                  namespace: bench%s
                spec:
                  clusterIPs: [%s]
                  ports:
                  - {name: tcp, port: %4$d, protocol: TCP}
                %5$s""".formatted(
                        name,
                        annotations,
                        addresses,
                        network.port(),
                        udp ? "  - {name: udp, port: %d, protocol: UDP}\n".formatted(network.port()) : "");
    }

    private String endpoints(String name, boolean dualStack) {
        String slices = slice(name, "IPv4", network.endpoints());
        return dualStack ? slices + slice(name, "IPv6", List.of(network.endpoint6())) : slices;
    }

    private String slice(String service, String family, List<String> addresses) {
        return """
                ---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata:
                  name: %1$s-%2$s
                  namespace: bench
                  labels: {kubernetes.io/service-name: %1$s}
                addressType: %3$s
                ports:
                - {name: tcp, port: %4$d, protocol: TCP}
                - {name: udp, port: %4$d, protocol: UDP}
                endpoints:
                %5$s
                """.formatted(
                        service,
                        family.toLowerCase(Locale.ROOT),
                        family,
                        endpointPort,
                        addresses.stream()
                                .map(address -> "- {addresses: [\"%s\"], conditions: {ready: true}}".formatted(address))
                                .collect(Collectors.joining("\n")));
    }

    private Path file(String name) {
        return directory.resolve(name + ".yaml");
    }

    private void write(String name, String manifest) throws IOException {
        Path temporary = Files.writeString(directory.resolve("." + name), manifest);
        Files.move(temporary, file(name), StandardCopyOption.ATOMIC_MOVE);
    }
}
