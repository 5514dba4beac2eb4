package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.apiserver.FakeCluster;
import io.sluice.config.Configuration;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Random;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * Injects random faults of an API server while objects change and clients keep connecting through the daemon. No client
 * may see an error, and in the end the daemon serves the state of the API server.
 */
@Tag("one-jdk")
final class ApiFaultsIT {
    private static final int SERVICES = 4;
    private static final int SERVERS = 4;
    private static final int CLIENTS = 3;

    private final List<NameServer> servers = new ArrayList<>();
    private final FakeCluster cluster = new FakeCluster();
    private final AtomicBoolean stop = new AtomicBoolean();
    private final AtomicLong answers = new AtomicLong();
    private final Queue<String> failures = new ConcurrentLinkedQueue<>();
    private int endpointPort;
    private int port;

    @Test
    void clientsSeeNoErrors() throws Exception {
        run(11, Duration.ofSeconds(8));
    }

    @Test
    @Tag("long")
    @Timeout(300)
    void clientsSeeNoErrorsForTwoMinutes() throws Exception {
        run(12, Duration.ofMinutes(2));
    }

    private void run(long seed, Duration time) throws Exception {
        Random random = new Random(seed);
        for (int i = 0; i < SERVERS; i++) {
            servers.add(new NameServer("127.33.0." + (i + 1), endpointPort, "server " + i));
            endpointPort = servers.get(0).port();
        }
        port = NameServer.freePort("127.97.0.1");
        cluster.start();
        for (int i = 0; i < SERVICES; i++) {
            cluster.apply(service(i));
            cluster.apply(slice(random, i));
        }
        Configuration configuration = Configuration.load(
                null,
                Map.of(
                        "SLUICE_HEALTHZ_BIND_ADDRESS", "off",
                        "SLUICE_METRICS_BIND_ADDRESS", "off",
                        "SLUICE_ADMIN_BIND_ADDRESS", "off"),
                Map.of());
        try (Daemon daemon = new Daemon(configuration.settings(), configuration.toMap(), cluster.access())) {
            daemon.start();
            await().atMost(RunIT.TIMEOUT)
                    .until(() -> daemon.syncLoop().snapshot().size() == SERVICES);
            List<Thread> clients = clients();
            long end = System.nanoTime() + time.toNanos();
            while (System.nanoTime() < end) {
                injectFault(random);
                cluster.apply(slice(random, random.nextInt(SERVICES)));
                // Let clients connect between two faults.
                long answered = answers.get();
                await().atMost(RunIT.TIMEOUT).until(() -> answers.get() > answered + 20 || !failures.isEmpty());
            }
            cluster.clearFailures();
            for (int i = 0; i < SERVICES; i++) {
                cluster.apply(finalSlice(i));
            }
            await().atMost(Duration.ofSeconds(60))
                    .untilAsserted(() -> assertThat(daemon.syncLoop().snapshot().sorted())
                            .hasSize(SERVICES)
                            .allSatisfy(servicePort -> assertThat(servicePort
                                            .frontends()
                                            .get(0)
                                            .external()
                                            .endpoints())
                                    .singleElement()
                                    .hasToString("127.33.0.1:" + endpointPort)));
            stop.set(true);
            for (Thread client : clients) {
                client.join();
            }
        } finally {
            stop.set(true);
            cluster.close();
            for (NameServer server : servers) {
                server.close();
            }
        }
        assertThat(failures).isEmpty();
        assertThat(answers.get()).isGreaterThan(time.toSeconds() * 50);
    }

    private List<Thread> clients() {
        List<Thread> clients = new ArrayList<>();
        for (int i = 0; i < CLIENTS; i++) {
            int first = i;
            Thread client = new Thread(() -> connectRepeatedly(first), "client-" + i);
            client.start();
            clients.add(client);
        }
        return clients;
    }

    private void connectRepeatedly(int first) {
        for (int i = first; !stop.get(); i++) {
            String address = "127.97.0." + (i % SERVICES + 1);
            try {
                String answer = NameServer.ask(address, port);
                if (!answer.startsWith("server ")) {
                    failures.add(address + " answered '" + answer + "'");
                }
                answers.incrementAndGet();
            } catch (IOException e) {
                failures.add(address + ": " + e);
            }
        }
    }

    private void injectFault(Random random) throws IOException {
        switch (random.nextInt(8)) {
            case 0 -> cluster.endWatches();
            case 1 -> cluster.breakWatches();
            case 2 -> cluster.compact();
            case 3 -> cluster.fail("watch", 3, 500 + random.nextInt(4), "Retry-After: 0", "x");
            case 4 -> cluster.fail("/services", 2, 429, "Retry-After: 1", "x");
            case 5 -> {
                int same = cluster.port();
                cluster.close();
                cluster.apply(slice(random, random.nextInt(SERVICES)));
                cluster.start(same);
            }
            case 6 -> cluster.send(random.nextBoolean() ? "services" : "endpointslices", "{\"type\":");
            default -> {
                cluster.changeUnseen(() -> cluster.apply(slice(random, random.nextInt(SERVICES))));
                cluster.compact();
                cluster.breakWatches();
            }
        }
    }

    private String service(int i) {
        return """
                apiVersion: v1
                kind: Service
                metadata: {name: s%d}
                spec: {clusterIP: 127.97.0.%d, ports: [{port: %d}]}
                """.formatted(i, i + 1, port);
    }

    /**
     * An EndpointSlice with at least one of the servers. All servers keep running, so that connections to removed
     * endpoints also succeed.
     */
    private String slice(Random random, int i) {
        List<String> addresses = new ArrayList<>();
        int always = random.nextInt(SERVERS);
        for (int server = 0; server < SERVERS; server++) {
            if (server == always || random.nextBoolean()) {
                addresses.add("{addresses: [127.33.0." + (server + 1) + "]}");
            }
        }
        return slice(i, String.join(", ", addresses));
    }

    private String finalSlice(int i) {
        return slice(i, "{addresses: [127.33.0.1]}");
    }

    private String slice(int i, String endpoints) {
        return """
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: s%d-1, labels: {kubernetes.io/service-name: s%d}}
                addressType: IPv4
                ports: [{port: %d}]
                endpoints: [%s]
                """.formatted(i, i, endpointPort, endpoints);
    }
}
