package io.sluice.soak;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/**
 * Writes and keeps changing the manifests of fifty services; each file is renamed into place. An endpoint knows since
 * when it is listed or unlisted, so that the loads can check the choice of endpoints. One thread changes the feed.
 */
final class Feed {
    /** How long applying a change may take. Until then the old and the new state are both valid. */
    static final long GRACE_NANOS = 1_000_000_000L;

    /** What happens to a service while it is under load. */
    enum Role {
        /** Endpoints are added and removed all the time; at least two stay. */
        CHURNING,
        /** No change; round robin must be exact. */
        STEADY,
        /** No change; the service has ClientIP session affinity. */
        SESSION_AFFINITY,
        /** All endpoints are removed and added again. */
        VANISHING,
        /** One endpoint at a time rejects connections and another does not accept; both stay listed. */
        FLAKY,
        /** One endpoint at a time is removed for some seconds, to test long UDP flows. */
        LEAVING
    }

    /** An endpoint, whether it is listed, and the number of its connections. */
    static final class Endpoint {
        final Service service;
        final int id;
        final InetSocketAddress address;
        volatile boolean listed = true;
        volatile long changedNanos = System.nanoTime();
        long connections;

        Endpoint(Service service, int id, InetSocketAddress address) {
            this.service = service;
            this.id = id;
            this.address = address;
        }

        /** Whether a connection or datagram of that time must not have been forwarded to this endpoint. */
        boolean wasUnlistedAt(long nanos) {
            return !listed && nanos - changedNanos > GRACE_NANOS;
        }

        /** Whether the endpoint was listed the whole time since, so that its flows must not have moved. */
        boolean wasListedSince(long nanos) {
            return listed && nanos - changedNanos > GRACE_NANOS;
        }

        @Override
        public String toString() {
            long millis = (System.nanoTime() - changedNanos) / 1_000_000;
            return "%s, %s for %d ms".formatted(address, listed ? "listed" : "unlisted", millis);
        }
    }

    /** A service with one port. */
    record Service(
            int number,
            boolean tcp,
            Role role,
            boolean affinity,
            InetSocketAddress frontend,
            List<Endpoint> endpoints) {
        /** Whether connections may be rejected or reset before an endpoint received data. */
        boolean mayReject() {
            return role == Role.VANISHING || role == Role.FLAKY;
        }

        String name() {
            return (tcp ? "tcp-" : "udp-") + number;
        }
    }

    final List<Service> services = new ArrayList<>();
    final List<Endpoint> endpoints = new ArrayList<>();
    private final Path directory;
    private final Path feed;
    private final Random random;
    private final List<Service> churning;
    private long updates;

    /** Writes the initial manifests. */
    Feed(Path directory, long seed) throws IOException {
        this.directory = directory;
        this.feed = Files.createDirectory(directory.resolve("feed"));
        this.random = new Random(seed);
        add(30, true, Role.CHURNING);
        add(1, true, Role.STEADY);
        add(1, true, Role.SESSION_AFFINITY);
        add(2, true, Role.VANISHING);
        add(3, true, Role.FLAKY);
        add(7, false, Role.CHURNING);
        add(2, false, Role.STEADY);
        add(1, false, Role.SESSION_AFFINITY);
        add(3, false, Role.LEAVING);
        churning = with(Role.CHURNING);
        for (Service service : services) {
            writeService(service);
            write(service);
        }
    }

    private void add(int count, boolean tcp, Role role) {
        for (int i = 0; i < count; i++) {
            int number = services.size();
            boolean affinity = role == Role.SESSION_AFFINITY || (role == Role.CHURNING && i % 6 == 5);
            InetSocketAddress frontend = new InetSocketAddress("127.97.0." + (number + 1), 8000);
            List<Endpoint> own = new ArrayList<>();
            Service service = new Service(number, tcp, role, affinity, frontend, own);
            for (int e = 0; e < 3 + number % 3; e++) {
                InetSocketAddress address = new InetSocketAddress("127.98." + number + "." + (e + 1), 7000);
                own.add(new Endpoint(service, endpoints.size() + own.size(), address));
            }
            endpoints.addAll(own);
            services.add(service);
        }
    }

    List<Service> with(Role role) {
        return services.stream().filter(service -> service.role == role).toList();
    }

    List<Service> with(boolean tcp, Role role) {
        return with(role).stream().filter(service -> service.tcp == tcp).toList();
    }

    long updates() {
        return updates;
    }

    /** Adds or removes one endpoint of one churning service; at least two stay. */
    void churn() throws IOException {
        Service service = churning.get(random.nextInt(churning.size()));
        Endpoint endpoint = service.endpoints.get(random.nextInt(service.endpoints.size()));
        long listed = service.endpoints.stream().filter(each -> each.listed).count();
        if (endpoint.listed && listed <= 2) {
            endpoint = service.endpoints.stream()
                    .filter(each -> !each.listed)
                    .findFirst()
                    .orElseThrow();
        }
        change(List.of(endpoint), !endpoint.listed);
    }

    /** Removes all endpoints of every vanishing service, or adds them again. */
    void setVanishing(boolean gone) throws IOException {
        for (Service service : with(Role.VANISHING)) {
            change(service.endpoints, !gone);
        }
    }

    /** Removes the next endpoint of every leaving service and adds the previous one again. */
    void removeNext(int turn) throws IOException {
        for (Service service : with(Role.LEAVING)) {
            int size = service.endpoints.size();
            change(List.of(service.endpoints.get(Math.floorMod(turn - 1, size))), true);
            change(List.of(service.endpoints.get(Math.floorMod(turn, size))), false);
        }
    }

    /** Restores the initial state. */
    void restore() throws IOException {
        for (Service service : services) {
            change(service.endpoints, true);
        }
    }

    private void change(List<Endpoint> changed, boolean listed) throws IOException {
        for (Endpoint endpoint : changed) {
            if (endpoint.listed != listed) {
                // Set the time first: a reader that sees the new state with the old time would report a false fault.
                endpoint.changedNanos = System.nanoTime();
                endpoint.listed = listed;
            }
        }
        write(changed.get(0).service);
        long now = System.nanoTime();
        changed.forEach(endpoint -> endpoint.changedNanos = now);
        updates++;
    }

    private void writeService(Service service) throws IOException {
        String text = """
                apiVersion: v1
                kind: Service
                metadata: {name: %s, namespace: soak}
                spec:
                  clusterIP: %s
                  sessionAffinity: %s
                  ports: [{name: main, port: %d, protocol: %s}]
                """.formatted(
                        service.name(),
                        service.frontend.getHostString(),
                        service.affinity ? "ClientIP" : "None",
                        service.frontend.getPort(),
                        service.tcp ? "TCP" : "UDP");
        rename(service.name() + ".yaml", text);
    }

    private void write(Service service) throws IOException {
        StringBuilder text = new StringBuilder("""
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata:
                  name: %1$s-1
                  namespace: soak
                  labels: {kubernetes.io/service-name: %1$s}
                addressType: IPv4
                ports: [{name: main, port: 7000, protocol: %2$s}]
                """.formatted(service.name(), service.tcp ? "TCP" : "UDP"));
        StringBuilder list = new StringBuilder();
        for (Endpoint endpoint : service.endpoints) {
            // Endpoints are removed in both ways: those with an odd id stay in the slice and become not ready.
            if (endpoint.listed || endpoint.id % 2 == 1) {
                list.append("\n- {addresses: [%s], conditions: {ready: %b, serving: %b}}"
                        .formatted(endpoint.address.getHostString(), endpoint.listed, endpoint.listed));
            }
        }
        text.append("endpoints:").append(list.isEmpty() ? " []" : list).append('\n');
        rename(service.name() + "-slice.yaml", text.toString());
    }

    private void rename(String name, String text) throws IOException {
        Path beside = directory.resolve("new");
        Files.writeString(beside, text);
        Files.move(beside, feed.resolve(name), StandardCopyOption.ATOMIC_MOVE);
    }

    Path path() {
        return feed;
    }
}
