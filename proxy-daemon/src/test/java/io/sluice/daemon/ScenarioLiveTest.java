package io.sluice.daemon;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.config.Configuration;
import io.sluice.feed.FileReflector;
import io.sluice.forward.FrontendStatus;
import io.sluice.forward.FrontendStatus.State;
import io.sluice.model.Cidr;
import io.sluice.model.Endpoint;
import io.sluice.model.Family;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePort;
import io.sluice.model.ServiceSnapshot;
import io.sluice.rules.BuildOptions;
import io.sluice.rules.Dump;
import io.sluice.rules.Scenario;
import io.sluice.rules.Scenario.Section;
import io.sluice.rules.Trace.Packet;
import io.sluice.rules.Trace.TraceResult;
import io.sluice.rules.Trace.Verdict;
import io.sluice.rules.Tracer;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.net.DatagramSocket;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Runs every scenario on a daemon, with its addresses rewritten by {@link LoopbackRewriter}. After each step, the table
 * must be as the scenario expects. Then clients connect to the IPv4 frontends: one on the node, one pod, and one of
 * each allowed source range. The result must be that of {@code trace} for the same feed: the endpoints, in round-robin order
 * unless the Service has another algorithm, a connection that waits, or no answer.
 */
@Tag("end-to-end")
final class ScenarioLiveTest {
    private static final Duration TIMEOUT = Duration.ofSeconds(60);

    private static final String MAPS_FRONTENDS =
            "maps frontends to loopback, from addresses that the rewriting would make equal";
    private static final String NOT_ON_LOOPBACK = "NodePorts on loopback differ from those on other addresses";
    private static final String SERVICE_CHAIN = "endpoints of another Service answer instead of the traced one";
    private static final String NEEDS_RULES =
            "all loopback addresses are local, and only kernel rules enforce source ranges";
    private static final String OTHER_INTERFACES = "needs interface addresses that this machine does not have";
    private static final String ONLY_THE_NODE = "NodePorts on loopback are reachable from the node only";

    private static final String OVERLAPPING_RANGES = "ranges without a common address overlap after the rewriting";
    private static final String PROXY_HEADER =
            "the endpoints here do not read PROXY protocol headers, so their close becomes a reset";

    /** Scenarios with a different meaning on loopback, with the reason. */
    private static final Map<String, String> EXCLUDED = Map.ofEntries(
            Map.entry("chain-of-moved-frontends.txt", MAPS_FRONTENDS),
            Map.entry("chain-comes-and-goes.txt", SERVICE_CHAIN),
            Map.entry("chain-of-two.txt", SERVICE_CHAIN),
            Map.entry("chain-protocols-differ.txt", SERVICE_CHAIN),
            Map.entry("chain-too-long.txt", SERVICE_CHAIN),
            Map.entry("chain-within-a-service.txt", SERVICE_CHAIN),
            Map.entry("cycle-of-three.txt", SERVICE_CHAIN),
            Map.entry("host-network-ingress.txt", NEEDS_RULES),
            Map.entry("host-network-ingress-behind-another.txt", NEEDS_RULES),
            Map.entry("host-network-ingress-elsewhere.txt", NEEDS_RULES),
            Map.entry("host-network-ingress-local.txt", NEEDS_RULES),
            Map.entry("chain-over-a-node-port.txt", OTHER_INTERFACES),
            Map.entry("node-port-on-interfaces.txt", OTHER_INTERFACES),
            Map.entry("node-port-on-too-many-addresses.txt", OTHER_INTERFACES),
            Map.entry("node-port-primary-is-the-nodes.txt", OTHER_INTERFACES),
            Map.entry("node-port-wildcard.txt", OTHER_INTERFACES),
            Map.entry("frontends-moved.txt", MAPS_FRONTENDS),
            Map.entry("node-port-on-all.txt", NOT_ON_LOOPBACK),
            Map.entry("node-port-conflict.txt", NOT_ON_LOOPBACK),
            Map.entry("node-port-on-a-loopback-range.txt", NOT_ON_LOOPBACK),
            Map.entry("node-port-range-of-all-addresses.txt", NOT_ON_LOOPBACK),
            Map.entry("both-policies-local.txt", ONLY_THE_NODE),
            Map.entry("external-policy-changes.txt", ONLY_THE_NODE),
            Map.entry("external-policy-local.txt", ONLY_THE_NODE),
            Map.entry("external-policy-local-no-local-endpoint.txt", ONLY_THE_NODE),
            Map.entry("external-policy-local-terminating.txt", ONLY_THE_NODE),
            Map.entry("external-policy-local-without-a-cluster-range.txt", ONLY_THE_NODE),
            Map.entry("policy-source-ranges-without-a-client.txt", OVERLAPPING_RANGES),
            Map.entry("policy-keys.txt", PROXY_HEADER),
            Map.entry("source-masquerade-all-and-external.txt", ONLY_THE_NODE),
            Map.entry("udp-flows-of-external-addresses.txt", ONLY_THE_NODE));

    private static final IpAddress NODE = ip("127.0.0.1");
    private static final List<String> dialed = new ArrayList<>();
    private static final List<CompletableFuture<Void>> pendingCloses = new ArrayList<>();
    private static final ExecutorService closeExecutor = Executors.newCachedThreadPool();
    private static int ran;
    private static FileChannel lock;

    @TempDir
    private Path directory;

    /** Open until the end of a scenario, so that no two clients use the same port, which would be the same flow. */
    private final Peers clients = new Peers();

    private int dials;

    /** The addresses are fixed, so only one run of this test on a machine may proceed at a time. */
    @BeforeAll
    static void lockFixedAddresses() throws IOException {
        Path file = Path.of(
                System.getProperty("java.io.tmpdir"), "sluice-scenarios-" + System.getProperty("user.name") + ".lock");
        lock = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        lock.lock();
    }

    /** Guards against a test that passes without connecting. */
    @AfterAll
    static void checkThatFrontendsWereDialed() throws IOException {
        CompletableFuture.allOf(pendingCloses.toArray(CompletableFuture[]::new)).join();
        closeExecutor.shutdown();
        lock.close();
        if (ran == Scenario.all().size() - EXCLUDED.size()) {
            assertThat(dialed).hasSizeGreaterThanOrEqualTo(120);
        }
    }

    @AfterEach
    void closeClients() throws IOException {
        clients.close();
    }

    static Stream<Scenario> scenarios() throws IOException {
        List<Scenario> all = Scenario.all();
        assertThat(all).extracting(Scenario::name).containsAll(EXCLUDED.keySet());
        return all.stream().filter(scenario -> !EXCLUDED.containsKey(scenario.name()));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("scenarios")
    void behavesAsTraced(Scenario scenario) throws Exception {
        LoopbackRewriter loopback = new LoopbackRewriter();
        List<String> flags = new ArrayList<>();
        scenario.flags().forEach(flag -> flags.add(loopback.addresses(flag)));
        if (!scenario.namesTheNode()) {
            flags.add("--node-name=no-such-node");
        }
        BuildOptions options = Flags.rules(flags);
        flags.addAll(List.of(
                "--feed=" + directory,
                "--healthz-bind-address=off",
                "--metrics-bind-address=off",
                "--admin-bind-address=off",
                "--drain-timeout=0s"));
        Configuration configuration = Flags.configuration("run", flags);
        Daemon daemon = new Daemon(configuration.settings(), configuration.toMap(), null, List::of);
        try {
            play(scenario, loopback, options, daemon);
            deleteAll();
            until(() -> daemon.forwarder().frontends().isEmpty());
        } finally {
            // Closing takes a tenth of a second; do it in the background.
            pendingCloses.add(CompletableFuture.runAsync(daemon::close, closeExecutor));
        }
        ran++;
        if (dials > 0) {
            dialed.add(scenario.name());
        }
    }

    private void play(Scenario scenario, LoopbackRewriter loopback, BuildOptions options, Daemon daemon)
            throws IOException {
        boolean started = false;
        for (Section section : scenario.sections()) {
            switch (section.kind()) {
                case "objects" -> write(section.file(), loopback.manifest(section.body()));
                case "gone" -> Files.delete(directory.resolve(section.file()));
                case "expect", "trace", "check" -> {
                    if (!started) {
                        daemon.start();
                        started = true;
                    }
                    Step step = new Step(daemon, FileReflector.read(directory, options, List.of()));
                    if (section.kind().equals("expect")) {
                        assertThat(Dump.of(step.reading.snapshot()))
                                .as(scenario.name() + ":" + section.line())
                                .isEqualTo(loopback.table(section.body()));
                    }
                    step.check();
                }
                default -> assertThat(started).isFalse();
            }
        }
    }

    private void deleteAll() throws IOException {
        try (DirectoryStream<Path> files = Files.newDirectoryStream(directory)) {
            for (Path file : files) {
                Files.delete(file);
            }
        }
    }

    /** Writes a file atomically by renaming it, so that the daemon reads it immediately. */
    private void write(String name, String text) throws IOException {
        Path temporary = Files.writeString(directory.resolve("." + name), text);
        Files.move(
                temporary,
                directory.resolve(name),
                StandardCopyOption.ATOMIC_MOVE,
                StandardCopyOption.REPLACE_EXISTING);
    }

    private static void until(BooleanSupplier condition) {
        await().pollDelay(Duration.ZERO)
                .pollInterval(Duration.ofMillis(2))
                .atMost(TIMEOUT)
                .until(condition::getAsBoolean);
    }

    private static IpAddress ip(String text) {
        return requireNonNull(IpAddress.parse(text));
    }

    /** One step of a scenario: the daemon after a change, and its expected state. */
    private final class Step {
        private final Daemon daemon;
        private final FileReflector.Reading reading;

        Step(Daemon daemon, FileReflector.Reading reading) {
            this.daemon = daemon;
            this.reading = reading;
        }

        void check() throws IOException {
            String expected = Dump.of(reading.snapshot());
            until(() -> Dump.of(daemon.syncLoop().snapshot()).equals(expected));
            until(() -> daemon.forwarder().frontends().stream()
                    .filter(status -> status.address().address().family() == Family.IPV4)
                    // A frontend that lost its address to another Service stays failed.
                    .filter(status -> status.failure() != FrontendStatus.Failure.OWNED_BY_ANOTHER)
                    .map(FrontendStatus::state)
                    .allMatch(State.ACTIVE::equals));
            List<Dial> planned = plan();
            try (Peers servers = new Peers()) {
                for (Dial dial : planned) {
                    for (Endpoint endpoint : dial.endpoints()) {
                        servers.serve(dial.address().protocol(), endpoint);
                    }
                }
                for (Dial dial : planned) {
                    dial(dial);
                    dials++;
                }
            }
        }

        private List<Dial> plan() {
            ServiceSnapshot snapshot = reading.snapshot();
            List<Dial> planned = new ArrayList<>();
            snapshot.forEach(servicePort -> {
                for (Frontend frontend : servicePort.frontends()) {
                    if (frontend.address().address().family() == Family.IPV4) {
                        for (IpAddress client : clientsOf(frontend, snapshot)) {
                            planned.add(Dial.of(reading.tracer(), client, servicePort, frontend));
                        }
                    }
                }
            });
            return planned;
        }

        private Set<IpAddress> clientsOf(Frontend frontend, ServiceSnapshot snapshot) {
            Set<IpAddress> froms = new LinkedHashSet<>(List.of(NODE));
            Stream.concat(snapshot.context().origins().pods().stream(), frontend.allowedSources().stream())
                    .filter(range -> range.network().family() == Family.IPV4)
                    // 0.0.0.0/32 stands for a list that allows no client.
                    .filter(range -> !range.network().isUnspecified())
                    .forEach(range -> froms.add(inside(range)));
            return froms;
        }

        /** Returns an address of the range that is not an endpoint. */
        private IpAddress inside(Cidr range) {
            return range.prefix() == 32
                    ? range.network()
                    : new IpAddress(range.network().high(), range.network().low() + 99, Family.IPV4);
        }

        private void dial(Dial dial) throws IOException {
            List<String> expected =
                    dial.endpoints().stream().map(Endpoint::toString).sorted().toList();
            if (dial.answer().verdict() == Verdict.HOLD) {
                expectHeld(dial);
                return;
            }
            if (dial.answer().verdict() != Verdict.FORWARD) {
                if (dial.address().protocol() == Protocol.TCP) {
                    assertThat(Peers.overTcp(dial.client(), dial.destination()))
                            .as(dial.toString())
                            .isEqualTo(Peers.NO_ANSWER);
                } else {
                    expectNoAnswerOverUdp(dial);
                }
                return;
            }
            List<String> answers = new ArrayList<>();
            for (int i = 0; i < expected.size(); i++) {
                answers.add(
                        dial.address().protocol() == Protocol.TCP
                                ? Peers.overTcp(dial.client(), dial.destination())
                                : clients.overUdp(dial.client(), dial.destination()));
            }
            switch (dial.choice()) {
                case ROUND_ROBIN -> {
                    Collections.sort(answers);
                    assertThat(answers).as(dial.toString()).isEqualTo(expected);
                }
                case BY_CLIENT -> {
                    assertThat(answers).as(dial.toString()).containsOnly(answers.get(0));
                    assertThat(expected).as(dial.toString()).contains(answers.get(0));
                }
                case ANY -> assertThat(expected).as(dial.toString()).containsAll(answers);
            }
        }

        private void expectHeld(Dial dial) throws IOException {
            try (Socket client = new Socket()) {
                client.bind(dial.client().toSocketAddress(0));
                client.connect(dial.destination());
                until(() -> holding() == 1);
                // A FIN would not end the wait.
                client.setSoLinger(true, 0);
            }
            until(() -> holding() == 0);
        }

        private long holding() {
            return daemon.forwarder().stats().sum(Counter.SESSIONS_HOLDING);
        }

        /**
         * Expects a kernel rejection if the port is closed, and a counted datagram without a response if it serves
         * other clients.
         */
        private void expectNoAnswerOverUdp(Dial dial) throws IOException {
            long before = daemon.forwarder().stats().sum(Counter.DATAGRAMS_REFUSED);
            DatagramSocket client = clients.asking(dial.client(), dial.destination());
            if (dial.frontend().isListening()) {
                until(() -> daemon.forwarder().stats().sum(Counter.DATAGRAMS_REFUSED) == before + 1);
            } else {
                assertThat(Peers.answer(client)).as(dial.toString()).isEqualTo(Peers.NO_ANSWER);
            }
        }
    }

    /** Which endpoints answer several connections of one client. */
    private enum Choice {
        ROUND_ROBIN,
        /** Always the same one, because of session affinity or consistent hashing. */
        BY_CLIENT,
        ANY
    }

    /** A connection of one client to one frontend, with the expected result. */
    private record Dial(
            IpAddress client, Frontend frontend, TraceResult answer, List<Endpoint> endpoints, Choice choice) {
        static Dial of(Tracer tracer, IpAddress client, ServicePort servicePort, Frontend frontend) {
            FrontendAddress to = frontend.address();
            TraceResult answer = tracer.trace(new Packet(client, to.address(), to.port(), to.protocol()));
            List<Endpoint> preferred = answer.endpoints().stream()
                    .filter(servicePort.preferredEndpoints()::contains)
                    .toList();
            List<Endpoint> endpoints = preferred.isEmpty() ? answer.endpoints() : preferred;
            return new Dial(client, frontend, answer, endpoints, choice(servicePort));
        }

        private static Choice choice(ServicePort servicePort) {
            if (servicePort.affinity().byClientAddress()) {
                return Choice.BY_CLIENT;
            }
            return switch (servicePort.policy().balancing().algorithm()) {
                case ROUND_ROBIN -> Choice.ROUND_ROBIN;
                case MAGLEV -> Choice.BY_CLIENT;
                case LEAST_CONNECTIONS -> Choice.ANY;
            };
        }

        FrontendAddress address() {
            return frontend.address();
        }

        InetSocketAddress destination() {
            return address().address().toSocketAddress(address().port());
        }

        @Override
        public String toString() {
            return client + " to " + address() + ": " + answer.reason();
        }
    }
}
