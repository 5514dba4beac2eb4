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
 * The {@link NodeLab} of two nodes with a daemon on each, both of one feed; objects go in as a controller would write
 * them. Each node is a zone of its own. On the first node bridged packets pass the IP hooks, on the second not.
 */
final class Cluster implements AutoCloseable {
    private static final List<String> NODES = List.of("node", "node2");

    /** Services, whose addresses end in their number here. */
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

    private final Path folder;
    private final NodeLab lab;
    private final NodeCases cases;
    private final Map<String, Sluice> daemons = new HashMap<>();
    private int generation;

    Cluster(Path folder) throws IOException {
        this.folder = folder;
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
        for (Sluice daemon : daemons.values()) {
            soon().atMost(Duration.ofSeconds(30)).until(() -> daemon.err().contains("synced: "));
        }
    }

    /** Does not wait for it. */
    void start(String node) throws IOException {
        daemons.put(
                node,
                NodeLab.launch(
                        folder,
                        node,
                        "--detect-local-mode=NodeCIDR",
                        "--service-cidr=10.96.0.0/16,fd00:96::/112",
                        "--nodeport-addresses=primary,localhost"));
    }

    void stop(String node) throws IOException, InterruptedException {
        Sluice daemon = requireNonNull(daemons.get(node));
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
     * These, and no others, are what the cluster has from now on. One Service has another port each time: once both nodes
     * have it, the rest is in force as well.
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
        Path next = folder.resolve("next");
        Files.writeString(next, NodeLab.NODES + services);
        Files.move(next, folder.resolve("feed.yaml"), StandardCopyOption.ATOMIC_MOVE);
    }

    /** Over TCP and UDP, in both families. */
    void expect(String... lines) {
        soon().untilAsserted(() -> cases.checkAll(lines));
    }

    void expectOne(String line) {
        soon().untilAsserted(() -> cases.check(line));
    }

    /** What is asked is waited for, since it cannot be taken back, and what was heard last is told. */
    static ConditionFactory soon() {
        return await().pollInSameThread()
                .atMost(RunIT.PATIENCE)
                .pollDelay(Duration.ZERO)
                .pollInterval(Duration.ofMillis(20));
    }

    @Override
    public void close() throws IOException {
        daemons.values().forEach(Sluice::close);
        lab.close();
    }
}
