package io.sluice.daemon;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.awaitility.core.ConditionFactory;

/**
 * The {@link NodeLab} with two nodes and a daemon on each. Both daemons read the same feed, which tests change as a
 * controller would. Each node is in its own zone. Bridged packets pass the IP hooks on the first node, but not on the
 * second.
 */
final class Cluster implements AutoCloseable {
    private static final List<String> NODES = List.of("node", "node2");

    /** The Services; the last digits of their addresses are their index in this list. */
    private static final List<String> SERVICES = List.of(
            "marker",
            "web",
            "routed",
            "bridged",
            "bridged2",
            "hosted",
            "sticky",
            "going",
            "hidden",
            "local",
            "flow",
            "waiting",
            "near",
            "large");

    private final Path directory;
    private final NodeLab lab;
    private final NodeCases cases;
    private final Map<String, SluiceProcess> daemons = new HashMap<>();
    private int generation;

    Cluster(Path directory) throws IOException {
        this.directory = directory;
        lab = NodeLab.twoNodes();
        if (Files.exists(Path.of("/proc/sys/net/bridge/bridge-nf-call-iptables"))) {
            for (String node : NODES) {
                int call = node.equals("node") ? 1 : 0;
                NodeLab.in(
                        node,
                        "sysctl -qw net.bridge.bridge-nf-call-iptables=" + call
                                + " net.bridge.bridge-nf-call-ip6tables=" + call);
            }
        }
        Map<String, List<String>> services = new HashMap<>();
        for (int i = 0; i < SERVICES.size(); i++) {
            services.put(SERVICES.get(i), List.of("10.96.0.1" + i, "fd00:96::1" + i));
        }
        services.put("local-lb", List.of("203.0.113.19", "2001:db8:113::19"));
        cases = new NodeCases(lab, services);
        cases.serve(8080, "pod", "one", "two", "pod2", "one2", "two2");
        cases.serve(8081, "node", "node2");
        cases.echo(8082, "pod", "two2");
        write("");
        for (String node : NODES) {
            start(node);
        }
        for (SluiceProcess daemon : daemons.values()) {
            eventually().atMost(Duration.ofSeconds(30)).until(() -> daemon.err().contains("synced: "));
        }
    }

    /** Starts the daemon on a node without waiting until it is ready. */
    void start(String node) throws IOException {
        daemons.put(
                node,
                NodeLab.launch(
                        directory,
                        node,
                        "--detect-local-mode=NodeCIDR",
                        "--service-cidr=10.96.0.0/16,fd00:96::/112",
                        "--nodeport-addresses=primary,localhost"));
    }

    void stop(String node) throws IOException, InterruptedException {
        SluiceProcess daemon = requireNonNull(daemons.get(node));
        daemon.signal("TERM");
        assertThat(daemon.exitCode()).as(daemon.err()).isZero();
    }

    NodeLab lab() {
        return lab;
    }

    NodeCases cases() {
        return cases;
    }

    ServiceManifest service(String name) {
        return cases.service(name);
    }

    /**
     * Replaces all Services of the cluster and waits until both nodes have applied them. A marker Service gets another
     * port each time; once both nodes serve it, they have applied the rest too.
     */
    void apply(ServiceManifest... services) throws IOException {
        int port = 1_000 + ++generation;
        write(service("marker").port("TCP", port, 0).slice(port, 8080, "pod")
                + Arrays.stream(services).map(ServiceManifest::toString).collect(Collectors.joining()));
        for (String node : NODES) {
            expectOne("tcp 4 " + node + " marker:" + port + " pod=" + node);
        }
    }

    private void write(String services) throws IOException {
        Path next = directory.resolve("next");
        Files.writeString(next, NodeLab.NODES + services);
        Files.move(next, directory.resolve("feed.yaml"), StandardCopyOption.ATOMIC_MOVE);
    }

    /** Checks lines over TCP and UDP, in both families, until they pass. */
    void expect(String... lines) {
        eventually().untilAsserted(() -> cases.checkAll(lines));
    }

    void expectOne(String line) {
        eventually().untilAsserted(() -> cases.check(line));
    }

    /** Polls in the same thread, since a request to a probe cannot be interrupted, and so reports the last response. */
    static ConditionFactory eventually() {
        return await().pollInSameThread()
                .atMost(RunIT.TIMEOUT)
                .pollDelay(Duration.ZERO)
                .pollInterval(Duration.ofMillis(20));
    }

    @Override
    public void close() throws IOException {
        daemons.values().forEach(SluiceProcess::close);
        lab.close();
    }
}
