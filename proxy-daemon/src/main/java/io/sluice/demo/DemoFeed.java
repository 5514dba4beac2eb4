package io.sluice.demo;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Comparator;
import java.util.stream.Stream;

/** The demo's temporary folder: manifests as {@code kubectl get -o yaml} would print them, less what nobody reads. */
final class DemoFeed implements AutoCloseable {
    static final String WEB = "127.96.0.10";
    static final String DNS = "127.96.0.11";
    static final String CART = "127.96.0.12";

    private final Path folder;
    private final Path feed;

    DemoFeed() throws IOException {
        folder = Files.createTempDirectory("sluice-demo-");
        feed = Files.createDirectory(folder.resolve("feed"));
    }

    /** The folder of manifests. */
    Path path() {
        return feed;
    }

    /** Where the daemon logs to, so that it does not write into the middle of the demo. */
    Path log() {
        return folder.resolve("sluice.log");
    }

    Path file(String service) {
        return feed.resolve(service + ".yaml");
    }

    /**
     * Writes the manifests of a service.
     *
     * @param extra more lines of its spec, such as its session affinity; empty for none
     * @param endpoints how many of the servers stand behind it, the first ones
     */
    void write(String service, String clusterIp, String protocol, int port, int targetPort, String extra, int endpoints)
            throws IOException {
        StringBuilder text = new StringBuilder("""
                apiVersion: v1
                kind: Service
                metadata:
                  name: %1$s
                  namespace: demo
                spec:
                  clusterIP: %2$s
                  ports:
                  - port: %4$d
                    protocol: %3$s
                %6$s---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata:
                  name: %1$s-1
                  namespace: demo
                  labels:
                    kubernetes.io/service-name: %1$s
                addressType: IPv4
                ports:
                - name: ""
                  port: %5$d
                  protocol: %3$s
                endpoints:
                """.formatted(service, clusterIp, protocol, port, targetPort, extra));
        for (int i = 1; i <= endpoints; i++) {
            text.append("- addresses: [\"")
                    .append(DemoServers.address(i))
                    .append("\"]\n  conditions:\n    ready: true\n");
        }
        // Written beside and renamed: a reader sees the old file or the new one.
        Path beside = folder.resolve(service + ".new");
        Files.writeString(beside, text);
        Files.move(beside, file(service), StandardCopyOption.ATOMIC_MOVE);
    }

    @Override
    public void close() throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path path : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(path);
            }
        }
    }
}
