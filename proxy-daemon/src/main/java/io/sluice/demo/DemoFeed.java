package io.sluice.demo;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Comparator;
import java.util.stream.Stream;

/**
 * Temporary directory that holds the manifests of the demo. They look like the output of {@code kubectl get -o yaml},
 * without the fields that Sluice does not use.
 */
final class DemoFeed implements AutoCloseable {
    static final String WEB = "127.96.0.10";
    static final String DNS = "127.96.0.11";
    static final String CART = "127.96.0.12";

    private final Path directory;
    private final Path feed;

    DemoFeed() throws IOException {
        directory = Files.createTempDirectory("sluice-demo-");
        feed = Files.createDirectory(directory.resolve("feed"));
    }

    /** Returns the directory of manifests. */
    Path path() {
        return feed;
    }

    /** Returns the daemon's log file. Logging to the terminal would interrupt the output of the demo. */
    Path log() {
        return directory.resolve("sluice.log");
    }

    Path file(String service) {
        return feed.resolve(service + ".yaml");
    }

    /**
     * Writes the manifests of a Service.
     *
     * @param extra additional lines of the spec, such as its session affinity; may be empty
     * @param endpoints number of sample servers to use as endpoints, starting with the first
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
        // Written under another name and renamed, so that a reader sees either the old file or the new one.
        Path temporary = directory.resolve(service + ".new");
        Files.writeString(temporary, text);
        Files.move(temporary, file(service), StandardCopyOption.ATOMIC_MOVE);
    }

    @Override
    public void close() throws IOException {
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path path : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(path);
            }
        }
    }
}
