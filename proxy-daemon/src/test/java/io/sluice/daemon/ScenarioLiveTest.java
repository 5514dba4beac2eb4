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
 * Every scenario on the running daemon, moved to {@link Loopback}: after each step its table must be the one the scenario
 * expects, and its IPv4 frontends are dialled, by a client of the node, one of the cluster's pods and one of each range
 * that is admitted. What they meet must be what {@code trace} says of the same feed: the endpoints in turn, or nobody.
 */
@Tag("end-to-end")
final class ScenarioLiveTest {
    private static final Duration PATIENCE = Duration.ofSeconds(60);

    private static final String OWN_MOVE = "moves frontends to loopback itself, from addresses that would be the same";
    private static final String NOT_ON_LOOPBACK = "node ports treat loopback differently from other addresses";
    private static final String FORWARDED_ON = "another Service's endpoints answer, not the one that trace names";
    private static final String NEEDS_RULES =
            "all of loopback is this machine's, and source ranges are the rules' to enforce";
    private static final String OTHER_INTERFACES =
            "says which addresses interfaces have, which this machine's have not";
    private static final String ONLY_THE_NODE = "a node port on loopback has no clients but the node";

    /** Scenarios that would mean something else on loopback, and why. */
    private static final Map<String, String> LEFT_OUT = Map.ofEntries(
            Map.entry("chain-of-moved-frontends.txt", OWN_MOVE),
            Map.entry("chain-comes-and-goes.txt", FORWARDED_ON),
            Map.entry("chain-of-two.txt", FORWARDED_ON),
            Map.entry("chain-protocols-differ.txt", FORWARDED_ON),
            Map.entry("chain-too-long.txt", FORWARDED_ON),
            Map.entry("chain-within-a-service.txt", FORWARDED_ON),
            Map.entry("cycle-of-three.txt", FORWARDED_ON),
            Map.entry("host-network-ingress.txt", NEEDS_RULES),
            Map.entry("host-network-ingress-behind-another.txt", NEEDS_RULES),
            Map.entry("host-network-ingress-elsewhere.txt", NEEDS_RULES),
            Map.entry("host-network-ingress-local.txt", NEEDS_RULES),
            Map.entry("chain-over-a-node-port.txt", OTHER_INTERFACES),
            Map.entry("node-port-on-interfaces.txt", OTHER_INTERFACES),
            Map.entry("node-port-on-too-many-addresses.txt", OTHER_INTERFACES),
            Map.entry("node-port-primary-is-the-nodes.txt", OTHER_INTERFACES),
            Map.entry("node-port-wildcard.txt", OTHER_INTERFACES),
            Map.entry("frontends-moved.txt", OWN_MOVE),
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
            Map.entry("source-masquerade-all-and-external.txt", ONLY_THE_NODE),
            Map.entry("udp-flows-of-external-addresses.txt", ONLY_THE_NODE));

    private static final IpAddress NODE = ip("127.0.0.1");
    private static final List<String> dialled = new ArrayList<>();
    private static final List<CompletableFuture<Void>> closing = new ArrayList<>();
    private static final ExecutorService closer = Executors.newCachedThreadPool();
    private static int ran;
    private static FileChannel lock;

    @TempDir
    private Path folder;

    /** Open until the end of a scenario, so that no two clients have one port, which would be one flow. */
    private final Peers clients = new Peers();

    private int dials;

    /** Its addresses are fixed: two of this test on one machine take turns. */
    @BeforeAll
    static void takeTurns() throws IOException {
        Path file = Path.of(
                System.getProperty("java.io.tmpdir"), "sluice-scenarios-" + System.getProperty("user.name") + ".lock");
        lock = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        lock.lock();
    }

    /** Nobody would notice a test that has come to dial nothing. */
    @AfterAll
    static void theyWereDialled() throws IOException {
        CompletableFuture.allOf(closing.toArray(CompletableFuture[]::new)).join();
        closer.shutdown();
        lock.close();
        if (ran == Scenario.all().size() - LEFT_OUT.size()) {
            assertThat(dialled).hasSizeGreaterThanOrEqualTo(120);
        }
    }

    @AfterEach
    void closeClients() throws IOException {
        clients.close();
    }

    static Stream<Scenario> scenarios() throws IOException {
        List<Scenario> all = Scenario.all();
        assertThat(all).extracting(Scenario::name).containsAll(LEFT_OUT.keySet());
        return all.stream().filter(scenario -> !LEFT_OUT.containsKey(scenario.name()));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("scenarios")
    void behaves(Scenario scenario) throws Exception {
        Loopback loopback = new Loopback();
        List<String> flags = new ArrayList<>();
        scenario.flags().forEach(flag -> flags.add(loopback.addresses(flag)));
        if (!scenario.namesTheNode()) {
            flags.add("--node-name=nobody");
        }
        BuildOptions options = Flags.rules(flags);
        flags.addAll(List.of(
                "--feed=" + folder, "--healthz-bind-address=off", "--metrics-bind-address=off", "--drain-timeout=0s"));
        Configuration configuration = Flags.configuration("run", flags);
        Daemon daemon = new Daemon(configuration.settings(), configuration.toMap(), null, List::of);
        try {
            play(scenario, loopback, options, daemon);
            deleteAll();
            until(() -> daemon.forwarder().frontends().isEmpty());
        } finally {
            // Takes a tenth of a second each time, for which nobody has to wait.
            closing.add(CompletableFuture.runAsync(daemon::close, closer));
        }
        ran++;
        if (dials > 0) {
            dialled.add(scenario.name());
        }
    }

    private void play(Scenario scenario, Loopback loopback, BuildOptions options, Daemon daemon) throws IOException {
        boolean started = false;
        for (Section section : scenario.sections()) {
            switch (section.kind()) {
                case "objects" -> write(section.file(), loopback.manifest(section.body()));
                case "gone" -> Files.delete(folder.resolve(section.file()));
                case "expect", "trace", "check" -> {
                    if (!started) {
                        daemon.start();
                        started = true;
                    }
                    Step step = new Step(daemon, FileReflector.read(folder, options, List.of()));
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
        try (DirectoryStream<Path> files = Files.newDirectoryStream(folder)) {
            for (Path file : files) {
                Files.delete(file);
            }
        }
    }

    /** Renamed into place, and so read at once. */
    private void write(String name, String text) throws IOException {
        Path whole = Files.writeString(folder.resolve("." + name), text);
        Files.move(whole, folder.resolve(name), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    private static void until(BooleanSupplier condition) {
        await().pollDelay(Duration.ZERO)
                .pollInterval(Duration.ofMillis(2))
                .atMost(PATIENCE)
                .until(condition::getAsBoolean);
    }

    private static IpAddress ip(String text) {
        return requireNonNull(IpAddress.parse(text));
    }

    /** The daemon after a change, and what is to be expected of it. */
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
                    // Whoever loses an address to another Service has failed for good.
                    .filter(status -> status.failure() != FrontendStatus.Failure.OWNED_BY_ANOTHER)
                    .map(FrontendStatus::state)
                    .allMatch(State.ACTIVE::equals));
            List<Dial> planned = plan();
            try (Peers servers = new Peers()) {
                for (Dial dial : planned) {
                    for (Endpoint endpoint : dial.answer().endpoints()) {
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
                    .forEach(range -> froms.add(inside(range)));
            return froms;
        }

        /** An address of the range that is no endpoint's. */
        private IpAddress inside(Cidr range) {
            return range.prefix() == 32
                    ? range.network()
                    : new IpAddress(range.network().high(), range.network().low() + 99, Family.IPV4);
        }

        private void dial(Dial dial) throws IOException {
            List<String> expected = dial.answer().endpoints().stream()
                    .map(Endpoint::toString)
                    .sorted()
                    .toList();
            if (dial.answer().verdict() != Verdict.FORWARD) {
                if (dial.address().protocol() == Protocol.TCP) {
                    assertThat(Peers.overTcp(dial.client(), dial.destination()))
                            .as(dial.toString())
                            .isEqualTo(Peers.NOBODY);
                } else {
                    unansweredOverUdp(dial);
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
            if (dial.hasSessionAffinity()) {
                assertThat(answers).as(dial.toString()).containsOnly(answers.get(0));
                assertThat(expected).as(dial.toString()).contains(answers.get(0));
            } else {
                Collections.sort(answers);
                assertThat(answers).as(dial.toString()).isEqualTo(expected);
            }
        }

        /** A closed port is refused by the kernel; one that is open for other clients says nothing. */
        private void unansweredOverUdp(Dial dial) throws IOException {
            long before = daemon.forwarder().stats().sum(Counter.DATAGRAMS_REFUSED);
            DatagramSocket client = clients.asking(dial.client(), dial.destination());
            if (dial.frontend().forwardsAny()) {
                until(() -> daemon.forwarder().stats().sum(Counter.DATAGRAMS_REFUSED) == before + 1);
            } else {
                assertThat(Peers.answer(client)).as(dial.toString()).isEqualTo(Peers.NOBODY);
            }
        }
    }

    /** One frontend seen by one client. */
    private record Dial(IpAddress client, Frontend frontend, TraceResult answer, boolean hasSessionAffinity) {
        static Dial of(Tracer tracer, IpAddress client, ServicePort servicePort, Frontend frontend) {
            FrontendAddress to = frontend.address();
            TraceResult answer = tracer.trace(new Packet(client, to.address(), to.port(), to.protocol()));
            return new Dial(client, frontend, answer, servicePort.affinity().byClientAddress());
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
