package io.sluice.apiserver;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.apiserver.KubernetesReflector.EndpointsApi;
import io.sluice.daemon.Flags;
import io.sluice.feed.ManifestReader;
import io.sluice.feed.SyncLoop;
import io.sluice.feed.WatchStatus;
import io.sluice.model.Family;
import io.sluice.model.ServiceSnapshot;
import io.sluice.rules.BuildOptions;
import io.sluice.rules.Dump;
import io.sluice.rules.Manifests;
import io.sluice.rules.ObjectStore;
import io.sluice.rules.ObjectStore.SourceState;
import io.sluice.rules.ProblemTracker;
import io.sluice.rules.SnapshotBuilder;
import io.sluice.thread.Supervisor;
import java.io.IOException;
import java.io.StringReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Random;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;

/** Whatever faults an API server has, the snapshot ends up as that of its objects and never contains anything else. */
class KubernetesReflectorTest {
    private static final WatchTimeouts FAST =
            timeouts(Duration.ofSeconds(1), Duration.ofMillis(5), Duration.ofMillis(50));

    private static final String NODE = """
            ---
            apiVersion: v1
            kind: Node
            metadata: {name: n1, labels: {topology.kubernetes.io/zone: z1}}
            status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}
            """;

    /** Timeouts that never probe a silent server. */
    private static WatchTimeouts timeouts(Duration idle, Duration initialBackOff, Duration longest) {
        Duration never = Duration.ofMinutes(1);
        Duration probe = Duration.ofSeconds(1);
        return new WatchTimeouts(
                idle, never, probe, initialBackOff, longest, longest, Duration.ofMillis(5), Duration.ZERO);
    }

    private final FakeCluster cluster = new FakeCluster();
    private final List<ServiceSnapshot> applied = new CopyOnWriteArrayList<>();
    private final List<SyncLoop.Trigger> triggers = new CopyOnWriteArrayList<>();
    private final SyncLoop loop = new SyncLoop(
            BuildOptions.on("n1"), applied::add, (problem, appeared) -> {}, (nanos, these) -> triggers.addAll(these));
    private @Nullable KubernetesReflector reflector;

    @BeforeEach
    void start() throws IOException {
        cluster.start();
        cluster.apply(NODE);
        cluster.apply(Manifests.service("web", "10.96.0.1") + Manifests.slice("web", "10.1.0.1"));
        loop.start(new Supervisor());
    }

    @AfterEach
    void close() {
        requireNonNull(reflector).close();
        loop.close();
        cluster.close();
    }

    private void startReflector() {
        startReflector(EndpointsApi.AUTO);
    }

    private void startReflector(EndpointsApi endpoints) {
        KubernetesReflector following =
                new KubernetesReflector(cluster.client(), BuildOptions.on("n1"), endpoints, FAST, loop);
        reflector = following;
        following.start(new Supervisor());
    }

    /** The snapshot that results from the same objects in a file. */
    private String fromFile() {
        StringBuilder manifests = new StringBuilder();
        for (JsonNode object : cluster.all()) {
            manifests.append("---\n").append(object).append('\n');
        }
        try {
            ProblemTracker problemTracker = new ProblemTracker();
            ObjectStore store = new ObjectStore(problemTracker);
            ManifestReader.Manifest manifest = ManifestReader.read("file", "", new StringReader(manifests.toString()));
            store.replace("file", new SourceState(manifest.objects(), manifest.problems()));
            return Dump.of(new SnapshotBuilder(BuildOptions.on("n1"), store, problemTracker).build());
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private void awaitEqual() {
        await().atMost(Duration.ofSeconds(20))
                .untilAsserted(() -> assertThat(Dump.of(loop.snapshot())).isEqualTo(fromFile()));
    }

    private WatchStatus status(String resource) {
        return requireNonNull(reflector).watches().stream()
                .filter(status -> status.resource().equals(resource))
                .findFirst()
                .orElseThrow();
    }

    @ParameterizedTest
    @ValueSource(ints = {28, 34})
    void listsAndWatches(int minor) {
        cluster.minor(minor);
        startReflector();
        awaitEqual();
        assertThat(applied.get(0).size())
                .as("nothing is applied before all collections are listed")
                .isEqualTo(1);
        cluster.apply(Manifests.service("dns", "10.96.0.2") + Manifests.slice("dns", "10.1.0.2"));
        awaitEqual();
        cluster.apply(Manifests.slice("web", "10.1.0.9"));
        awaitEqual();
        cluster.delete("/api/v1/namespaces/default/services/web");
        awaitEqual();
        assertThat(loop.snapshot().size()).isEqualTo(1);
        assertThat(cluster.requests)
                .contains("/api/v1/services?labelSelector=%21service.kubernetes.io%2Fservice-proxy-name"
                        + "%2C%21service.kubernetes.io%2Fheadless&fieldSelector=spec.clusterIP%21%3DNone&"
                        + cluster.requests.stream()
                                .filter(request -> request.startsWith("/api/v1/services"))
                                .findFirst()
                                .orElseThrow()
                                .replaceAll("^.*None&", ""))
                .anyMatch(request -> request.contains("/nodes?fieldSelector=metadata.name%3Dn1&"))
                .anyMatch(request -> request.contains(minor == 34 ? "sendInitialEvents" : "limit=500"));
    }

    @Test
    void requestsOnlyServicesWithItsProxyName() {
        BuildOptions named =
                Flags.rules(List.of("--node-name=n1", "--service-proxy-name=sluice", "--service-cidr=10.96.0.0/12"));
        SyncLoop namedLoop = new SyncLoop(named, snapshot -> {}, (problem, appeared) -> {}, (nanos, triggers) -> {});
        namedLoop.start(new Supervisor());
        KubernetesReflector following =
                new KubernetesReflector(cluster.client(), named, EndpointsApi.AUTO, FAST, namedLoop);
        reflector = following;
        try {
            following.start(new Supervisor());
            await().until(namedLoop::synced);
            assertThat(namedLoop.snapshot().size())
                    .as("service web has no label")
                    .isZero();
            assertThat(namedLoop.snapshot().context().serviceCidrs()).isEmpty();
            assertThat(cluster.requests)
                    .anyMatch(request -> request.contains("services?labelSelector="
                            + "service.kubernetes.io%2Fservice-proxy-name%3Dsluice"
                            + "%2C%21service.kubernetes.io%2Fheadless&"));
            cluster.apply("""
                    apiVersion: v1
                    kind: Service
                    metadata: {name: web, labels: {service.kubernetes.io/service-proxy-name: sluice}}
                    spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}
                    """);
            await().until(() -> namedLoop.snapshot().size() == 1);
            cluster.apply(Manifests.service("web", "10.96.0.1"));
            await().until(() -> namedLoop.snapshot().size() == 0);
        } finally {
            namedLoop.close();
        }
    }

    @Test
    void readsAllPagesOfAList() {
        cluster.minor(20);
        for (int i = 0; i < 1_200; i++) {
            cluster.apply(Manifests.service("s" + i, "10.97." + i / 200 + "." + (i % 200 + 1)));
        }
        startReflector();
        awaitEqual();
        assertThat(loop.snapshot().size()).isEqualTo(1_201);
        assertThat(cluster.requests).anyMatch(request -> request.contains("continue="));
    }

    @Test
    void removesAnObjectThatNoLongerMatches() {
        startReflector();
        awaitEqual();
        cluster.apply("""
                apiVersion: v1
                kind: Service
                metadata: {name: web, labels: {service.kubernetes.io/service-proxy-name: other}}
                spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}
                """);
        await().until(() -> loop.snapshot().size() == 0);
    }

    @Test
    void resumesAWatchThatEndsOrBreaks() {
        startReflector();
        awaitEqual();
        for (int i = 0; i < 5; i++) {
            if (i % 2 == 0) {
                cluster.endWatches();
            } else {
                cluster.breakWatches();
            }
            cluster.apply(Manifests.slice("web", "10.1.1." + (i + 1)));
            awaitEqual();
        }
        assertThat(status("endpointslices.discovery.k8s.io").relists()).isZero();
        assertThat(status("endpointslices.discovery.k8s.io").reconnects()).isPositive();
    }

    @ParameterizedTest
    @ValueSource(ints = {28, 34})
    void listsAgainWhenTheVersionHasExpired(int minor) {
        cluster.minor(minor);
        cluster.apply(Manifests.service("old", "10.96.0.7"));
        startReflector();
        awaitEqual();
        cluster.changeUnseen(() -> {
            cluster.delete("/api/v1/namespaces/default/services/old");
            cluster.apply(Manifests.service("new", "10.96.0.8"));
        });
        cluster.compact();
        cluster.endWatches();
        awaitEqual();
        assertThat(status("services").relists()).isPositive();
    }

    @Test
    void listsAgainAfterAnErrorEvent() {
        startReflector();
        awaitEqual();
        cluster.changeUnseen(() -> cluster.apply(Manifests.service("new", "10.96.0.8")));
        cluster.send(
                "services",
                "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"message\":\"expired\"}}\n");
        awaitEqual();
    }

    @Test
    void listsAgainWhenTheServerWasRestoredFromABackup() {
        startReflector();
        awaitEqual();
        int port = cluster.port();
        cluster.close();
        cluster.changeUnseen(() -> {
            cluster.delete("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/web-1");
            cluster.apply(Manifests.service("new", "10.96.0.8"));
        });
        cluster.rewind(50);
        assertThat(loop.snapshot().size()).as("kept while no server responds").isEqualTo(1);
        try {
            cluster.start(port);
        } catch (IOException e) {
            throw new AssertionError(e);
        }
        awaitEqual();
        assertThat(loop.snapshot().size()).isEqualTo(2);
    }

    @Test
    void listsAgainAfterALowerVersionOnAnOpenWatch() {
        startReflector();
        awaitEqual();
        cluster.rewind(60);
        cluster.changeUnseen(() -> cluster.apply(Manifests.service("unseen", "10.96.0.8")));
        cluster.apply(Manifests.service("new", "10.96.0.9"));
        awaitEqual();
        assertThat(loop.snapshot().size()).isEqualTo(3);
    }

    @Test
    void restartsAnIdleWatch() {
        startReflector();
        awaitEqual();
        // The event is lost, as with a connection that a NAT router has dropped.
        cluster.changeUnseen(() -> cluster.apply(Manifests.service("new", "10.96.0.8")));
        awaitEqual();
        assertThat(loop.snapshot().size()).isEqualTo(2);
        assertThat(status("services").relists()).isZero();
    }

    @ParameterizedTest
    @ValueSource(strings = {"429", "500", "503", "410"})
    void retriesAfterErrorResponses(String status) {
        cluster.fail("/services", 3, Integer.parseInt(status), "Retry-After: 0", "{\"message\":\"later\"}");
        cluster.fail("/endpointslices", 2, Integer.parseInt(status), "Retry-After: 0", "<html>");
        startReflector();
        awaitEqual();
        cluster.fail("watch=true", 6, Integer.parseInt(status), "Retry-After: 0", "");
        cluster.breakWatches();
        cluster.apply(Manifests.slice("web", "10.1.0.9"));
        awaitEqual();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "{\"kind\":\"List\",\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{\"metadata\":{\"name\":\"x\"",
                "{\"kind\":\"List\",\"items\":[",
                "",
                "[]",
                "not json at all",
                "{\"kind\":\"List\",\"items\":[]}"
            })
    void retriesAnInvalidOrTruncatedList(String body) {
        cluster.minor(20);
        cluster.fail("/services", 2, 200, "", body);
        cluster.fail("/endpointslices", 2, 200, "", body);
        startReflector();
        awaitEqual();
        assertThat(loop.snapshot().size()).isEqualTo(1);
    }

    static Stream<Arguments> oversizedResponses() {
        String item = "{\"items\":[{\"a\":";
        String string = "\"" + "x".repeat(1 << 20) + "\",";
        String large = "an object is larger than 16777216 bytes";
        return Stream.of(
                Arguments.of(Named.of("nesting", item + "[".repeat(1_000)), "Document nesting depth ("),
                Arguments.of(Named.of("string", item + "\"" + "x".repeat(5 << 20)), "String value length ("),
                Arguments.of(Named.of("key", "{\"items\":[{\"" + "x".repeat(50_000)), "Name length ("),
                Arguments.of(Named.of("object", item + "[" + string.repeat(17)), large),
                Arguments.of(Named.of("blanks", " ".repeat(17 << 20)), large));
    }

    /** Lists and events have the same limits; known objects stay, and the watch recovers afterwards. */
    @ParameterizedTest
    @MethodSource("oversizedResponses")
    void rejectsOversizedResponses(String start, String message) {
        cluster.minor(20);
        cluster.fail("/services", 1_000, 200, "", start);
        startReflector();
        awaitTrouble(message);
        cluster.clearFailures();
        awaitEqual();
        cluster.fail("/services", 1_000, 200, "", start);
        cluster.endWatches();
        awaitTrouble(message);
        assertThat(loop.snapshot().size()).isEqualTo(1);
        cluster.clearFailures();
        cluster.apply(Manifests.slice("web", "10.1.0.9"));
        awaitEqual();
    }

    /** Waits until Services cannot be watched, for a reason that contains this string. */
    private void awaitTrouble(String text) {
        await().atMost(Duration.ofSeconds(30))
                .ignoreException(NoSuchElementException.class)
                .untilAsserted(() -> assertThat(status("services").trouble()).contains(text));
    }

    @Test
    void abandonsAListThatNeverEnds() {
        cluster.minor(20);
        String page = "{\"metadata\":{\"resourceVersion\":\"1\",\"continue\":\"CONTINUE\"},\"items\":[]}";
        cluster.fail("/services", 1_000, 200, "", page.replace("CONTINUE", "again"));
        startReflector();
        awaitTrouble("list services: the list repeats its continue token");
        cluster.fail("/services", 1_000, 200, "", page.replace("CONTINUE", "x".repeat(10_000)));
        awaitTrouble("list services: continue is longer than 8192 characters");
        cluster.clearFailures();
        awaitEqual();
    }

    @Test
    void truncatesALongErrorMessage() {
        cluster.fail("/services", 1_000, 403, "", "no ".repeat(10 << 20));
        startReflector();
        awaitTrouble(": 403 no no ");
        assertThat(status("services").trouble()).hasSizeLessThan(2_000);
        cluster.clearFailures();
        awaitEqual();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\"",
                "}}}}\n",
                "{\"type\":\"WHAT\",\"object\":{}}\n",
                "{\"type\":\"ADDED\"}\n",
                "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":7}}}\n",
                "{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"Service\",\"metadata\":{\"name\":\"web\",\"namespace\":\"x\"},"
                        + "\"spec\":{\"futureField\":[{\"a\":1}]}}}\n",
                "\n\n"
            })
    void recoversFromInvalidEvents(String text) {
        startReflector();
        awaitEqual();
        cluster.send("services", text);
        cluster.send("endpointslices", text);
        cluster.endWatches();
        cluster.apply(Manifests.slice("web", "10.1.0.9") + Manifests.service("dns", "10.96.0.2"));
        awaitEqual();
    }

    @Test
    void readsEndpointsIfTheServerHasNoEndpointSlices() {
        cluster.omitCollection("endpointslices");
        cluster.apply("""
                apiVersion: v1
                kind: Endpoints
                metadata: {name: web}
                subsets: [{addresses: [{ip: 10.1.0.5}], ports: [{port: 8080}]}]
                """);
        startReflector();
        await().untilAsserted(() -> assertThat(Dump.of(loop.snapshot())).contains("-> 10.1.0.5:8080"));
        assertThat(status("endpoints").synced()).isTrue();
    }

    @Test
    void readsEndpointsIfConfigured() {
        cluster.apply("""
                apiVersion: v1
                kind: Endpoints
                metadata: {name: web}
                subsets: [{addresses: [{ip: 10.1.0.5}], ports: [{port: 8080}]}]
                """);
        startReflector(EndpointsApi.ENDPOINTS);
        await().untilAsserted(() -> assertThat(Dump.of(loop.snapshot())).contains("-> 10.1.0.5:8080"));
        assertThat(cluster.requests).noneMatch(request -> request.contains("endpointslices"));
    }

    @Test
    void omitsAnUnsupportedFieldSelector() {
        cluster.minor(20);
        cluster.fail(
                "fieldSelector=spec",
                99,
                400,
                "",
                "{\"message\":\"field label not supported: spec.clusterIP\",\"code\":400}");
        startReflector();
        awaitEqual();
    }

    @Test
    void startsWithoutOptionalCollections() {
        cluster.omitCollection("servicecidrs");
        cluster.fail("/nodes", 99, 403, "", "{\"message\":\"nodes is forbidden\",\"code\":403}");
        startReflector();
        await().until(() -> loop.snapshot().size() == 1);
        assertThat(status("nodes").trouble())
                .isEqualTo(cluster.url() + ": watch nodes: 403 nodes is forbidden; Sluice needs an RBAC role with the"
                        + " rule {apiGroups: [\"\"], resources: [nodes], verbs: [list, watch]}");
    }

    @Test
    void reportsTheCredentialsAfterA401() {
        cluster.fail("/nodes", 99, 401, "", "{\"message\":\"Unauthorized\",\"code\":401}");
        startReflector();
        await().until(() -> loop.snapshot().size() == 1);
        assertThat(status("nodes").trouble())
                .isEqualTo(cluster.url() + ": watch nodes: 401 Unauthorized; credentials sent: none");
    }

    @Test
    void appliesNothingBeforeRequiredCollectionsAreListed() {
        cluster.fail("/endpointslices", 1_000, 403, "", "{\"message\":\"forbidden\",\"code\":403}");
        startReflector();
        await().until(() -> status("services").synced());
        await().until(() -> !status("endpointslices.discovery.k8s.io").trouble().isEmpty());
        assertThat(applied).isEmpty();
        assertThat(loop.synced()).isFalse();
        cluster.clearFailures();
        awaitEqual();
        assertThat(status("endpointslices.discovery.k8s.io").trouble()).isEmpty();
    }

    @Test
    void bookmarksAdvanceTheResourceVersion() {
        startReflector();
        awaitEqual();
        for (int i = 0; i < 50; i++) {
            cluster.apply(Manifests.service("s" + i, "10.97.0." + (i + 1)));
        }
        cluster.bookmark();
        awaitEqual();
        cluster.compact();
        cluster.endWatches();
        cluster.apply(Manifests.slice("web", "10.1.0.9"));
        awaitEqual();
        assertThat(status("endpointslices.discovery.k8s.io").relists()).isZero();
    }

    @Test
    void reportsTriggerTimes() {
        startReflector();
        awaitEqual();
        String slice = Manifests.slice("web", "10.1.0.7");
        cluster.apply(
                slice.replace(
                        "metadata: {",
                        "metadata: {annotations: {endpoints.kubernetes.io/last-change-trigger-time: '2999-01-31T12:00:00.5Z'}, "));
        awaitEqual();
        assertThat(triggers)
                .containsExactly(new SyncLoop.Trigger(Instant.parse("2999-01-31T12:00:00.5Z"), Family.IPV4));
        cluster.apply(Manifests.slice("web", "10.1.0.8")
                .replace(
                        "metadata: {",
                        "metadata: {annotations: {endpoints.kubernetes.io/last-change-trigger-time:"
                                + " '2000-01-31T12:00:00Z'}, "));
        awaitEqual();
        assertThat(triggers).as("older than the start of the reflector").hasSize(1);
    }

    @ParameterizedTest
    @ValueSource(ints = {28, 34})
    void waitsForTheNodeAtStartup(int minor) {
        cluster.minor(minor);
        cluster.delete("/api/v1/nodes/n1");
        KubernetesReflector following = new KubernetesReflector(
                cluster.client(),
                BuildOptions.on("n1"),
                EndpointsApi.AUTO,
                FAST.withNodeWait(Duration.ofHours(1)),
                loop);
        reflector = following;
        following.start(new Supervisor());
        await().until(() ->
                following.watches().size() == 4 && !status("nodes").trouble().isEmpty());
        await().until(() ->
                following().filter(watch -> !watch.resource().equals("nodes")).allMatch(WatchStatus::synced));
        assertThat(status("nodes").synced()).isFalse();
        assertThat(status("nodes").trouble()).isEqualTo("Node n1 does not exist yet");
        await().untilAsserted(() -> assertThat(loop.nodeIneligibleReason()).hasValue("there is no Node n1"));
        assertThat(loop.synced()).isFalse();
        cluster.apply(NODE);
        awaitEqual();
        assertThat(status("nodes").trouble()).isEmpty();
        await().untilAsserted(() -> assertThat(loop.nodeIneligibleReason()).isEmpty());
        cluster.delete("/api/v1/nodes/n1");
        cluster.changeUnseen(() -> cluster.apply(Manifests.slice("other", "10.1.0.2")));
        cluster.compact();
        cluster.endWatches();
        await().until(() -> status("nodes").relists() > 0);
        await().untilAsserted(() -> assertThat(loop.nodeIneligibleReason()).hasValue("there is no Node n1"));
        assertThat(status("nodes").trouble()).as("no wait for a deleted Node").isEmpty();
    }

    /** A server that is busy with the lists of all nodes still responds to probes. */
    @ParameterizedTest
    @ValueSource(ints = {28, 34})
    void allowsMoreTimeForAList(int minor) {
        cluster.minor(minor);
        cluster.delayResponses("/services?");
        startReflector();
        await().until(() -> cluster.requests.stream().anyMatch(request -> request.contains("/services?")));
        await().during(FakeCluster.ONE_SECOND_TIMEOUT
                        .headersTimeout()
                        .multipliedBy(3)
                        .dividedBy(2))
                .until(() -> status("services").trouble().isEmpty());
        cluster.delayResponses("");
        awaitEqual();
        assertThat(cluster.requests.stream()
                        .filter(request -> request.contains("/services?")
                                && (request.contains("sendInitialEvents") || request.contains("limit="))))
                .hasSize(1);
    }

    @Test
    void stopsWaitingForTheNodeAfterTheTimeout() {
        cluster.delete("/api/v1/nodes/n1");
        KubernetesReflector following = new KubernetesReflector(
                cluster.client(),
                BuildOptions.on("n1"),
                EndpointsApi.AUTO,
                FAST.withNodeWait(Duration.ofNanos(1)),
                loop);
        reflector = following;
        following.start(new Supervisor());
        awaitEqual();
        assertThat(loop.nodeIneligibleReason()).hasValue("there is no Node n1");
    }

    @Test
    void keepsTheAddressesOfADeletedNodeAndReportsItIneligible() {
        cluster.apply("""
                apiVersion: v1
                kind: Service
                metadata: {name: web}
                spec: {type: NodePort, clusterIP: 10.96.0.1, ports: [{port: 80, nodePort: 30080}]}
                """);
        startReflector();
        awaitEqual();
        assertThat(loop.nodeIneligibleReason()).isEmpty();
        String before = Dump.of(loop.snapshot());
        assertThat(before).contains("192.0.2.1:30080");
        cluster.delete("/api/v1/nodes/n1");
        await().untilAsserted(() -> assertThat(loop.nodeIneligibleReason()).hasValue("there is no Node n1"));
        assertThat(Dump.of(loop.snapshot())).isEqualTo(before);
        cluster.changeUnseen(() -> cluster.apply(Manifests.slice("other", "10.1.0.2")));
        cluster.compact();
        cluster.endWatches();
        await().until(() -> status("nodes").relists() > 0);
        assertThat(loop.nodeIneligibleReason()).hasValue("there is no Node n1");
        assertThat(Dump.of(loop.snapshot())).isEqualTo(before);
        cluster.apply(NODE.replace("192.0.2.1", "192.0.2.9"));
        awaitEqual();
        await().untilAsserted(() -> assertThat(loop.nodeIneligibleReason()).isEmpty());
        assertThat(Dump.of(loop.snapshot())).contains("192.0.2.9:30080").doesNotContain("192.0.2.1:30080");
    }

    @Test
    void resumesWatchesAfterAnOutage() throws IOException {
        startReflector();
        awaitEqual();
        int port = cluster.port();
        cluster.close();
        cluster.apply(Manifests.service("new", "10.96.0.8") + Manifests.slice("web", "10.1.0.9"));
        await().until(() -> following().allMatch(watch -> watch.trouble().contains("no API server responded")));
        cluster.fail("/", 3, 503, "Retry-After: 0", "{\"message\":\"starting\"}");
        cluster.start(port);
        awaitEqual();
        await().until(() -> following().allMatch(watch -> watch.trouble().isEmpty()));
        assertThat(following()).allSatisfy(watch -> {
            assertThat(watch.relists()).isZero();
            assertThat(watch.reconnects()).isPositive();
        });
    }

    private Stream<WatchStatus> following() {
        return requireNonNull(reflector).watches().stream();
    }

    /** The back-off after an outage must not delay the list. */
    @Test
    void listsAtOnceIfTheVersionExpiredDuringAnOutage() throws IOException {
        WatchTimeouts shortTimeouts = new WatchTimeouts(
                Duration.ofHours(1),
                Duration.ofHours(1),
                Duration.ofHours(1),
                Duration.ofMillis(5),
                Duration.ofMillis(50),
                Duration.ofHours(1),
                Duration.ZERO,
                Duration.ZERO);
        KubernetesReflector following = new KubernetesReflector(
                cluster.client(), BuildOptions.on("n1"), EndpointsApi.AUTO, shortTimeouts, loop);
        reflector = following;
        following.start(new Supervisor());
        awaitEqual();
        int port = cluster.port();
        cluster.close();
        cluster.apply(Manifests.service("new", "10.96.0.8"));
        cluster.compact();
        await().atMost(Duration.ofSeconds(30))
                .until(() -> following().allMatch(watch -> watch.trouble().contains("no API server responded")));
        // So many failures that an uncapped exponential back-off would take hours.
        cluster.fail("/", 80, 503, "Retry-After: 0", "");
        cluster.start(port);
        awaitEqual();
        assertThat(status("services").relists()).isEqualTo(1);
    }

    @Test
    void failsOverFromASilentServer() throws IOException {
        try (FakeCluster second = new FakeCluster().start()) {
            second.apply(NODE);
            second.apply(Manifests.service("web", "10.96.0.1") + Manifests.slice("web", "10.1.0.1"));
            Duration soon = Duration.ofMillis(300);
            WatchTimeouts shortTimeouts = new WatchTimeouts(
                    Duration.ofHours(1), soon, soon, Duration.ofMillis(5), soon, soon, Duration.ZERO, Duration.ZERO);
            KubernetesReflector following = new KubernetesReflector(
                    FakeCluster.clientOf(cluster, second),
                    BuildOptions.on("n1"),
                    EndpointsApi.AUTO,
                    shortTimeouts,
                    loop);
            reflector = following;
            following.start(new Supervisor());
            awaitEqual();
            assertThat(status("services").server()).isEqualTo(cluster.url());
            cluster.silent(true);
            second.apply(Manifests.service("new", "10.96.0.8"));
            await().atMost(Duration.ofSeconds(30)).until(() -> loop.snapshot().size() == 2);
            assertThat(status("services").server()).isEqualTo(second.url());
            cluster.silent(false);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {28, 34})
    void failsOverFromAServerThatDoesNotFinishItsList(int minor) throws IOException {
        cluster.minor(minor);
        cluster.hang("/endpointslices", 1_000, 200);
        try (FakeCluster second = new FakeCluster().start()) {
            second.apply(NODE);
            second.apply(Manifests.service("web", "10.96.0.1") + Manifests.slice("web", "10.1.0.1"));
            KubernetesReflector following = new KubernetesReflector(
                    FakeCluster.clientOf(cluster, second), BuildOptions.on("n1"), EndpointsApi.AUTO, FAST, loop);
            reflector = following;
            following.start(new Supervisor());
            awaitEqual();
            assertThat(status("endpointslices.discovery.k8s.io").server()).isEqualTo(second.url());
        }
    }

    @Test
    void recoversFromIncompleteResponses() {
        cluster.hang("/version", 1, 200);
        cluster.hang("/services", 1, 503);
        startReflector();
        awaitEqual();
        cluster.hang("/endpointslices", 2, 503);
        cluster.breakWatches();
        cluster.apply(Manifests.slice("web", "10.1.0.9"));
        awaitEqual();
    }

    @Test
    void usesAReplacedTokenAtOnce(@TempDir Path directory) throws Exception {
        Path token = Files.writeString(directory.resolve("token"), "old");
        try (FakeApiServer server =
                new FakeApiServer(cluster::handle).requireBearer("new").start()) {
            ApiAccess access = ApiAccess.find(
                    new ApiOptions(List.of(), "", List.of(server.url()), token, null, false),
                    Map.of(),
                    directory,
                    directory);
            WatchTimeouts longTimeouts = timeouts(Duration.ofHours(1), Duration.ofHours(1), Duration.ofHours(1));
            KubernetesReflector following = new KubernetesReflector(
                    new ApiClient(access), BuildOptions.on("n1"), EndpointsApi.AUTO, longTimeouts, loop);
            reflector = following;
            following.start(new Supervisor());
            await().until(() -> following.watches().size() == 4
                    && following().allMatch(watch -> watch.trouble().contains("401")));
            Files.writeString(token, "new");
            awaitEqual();
        }
    }

    @Test
    void reportsNoTroubleInAnIdleCluster() {
        // If an idle watch were a failure, the back-off after ten of them would take minutes.
        WatchTimeouts doubling = timeouts(Duration.ofMillis(300), Duration.ofMillis(100), Duration.ofMinutes(2));
        KubernetesReflector following =
                new KubernetesReflector(cluster.client(), BuildOptions.on("n1"), EndpointsApi.AUTO, doubling, loop);
        reflector = following;
        following.start(new Supervisor());
        awaitEqual();
        await().atMost(Duration.ofSeconds(20))
                .untilAsserted(() -> assertThat(status("services").reconnects()).isGreaterThan(10));
        assertThat(following.watches())
                .allSatisfy(watch -> assertThat(watch.trouble()).isEmpty());
    }

    @Test
    void ignoresASingle404ForEndpointSlices() {
        cluster.fail("/endpointslices", 1, 404, "", "default backend");
        startReflector();
        awaitEqual();
        cluster.fail("/endpointslices", 1, 404, "", "default backend");
        cluster.breakWatches();
        cluster.apply(Manifests.slice("web", "10.1.0.9"));
        awaitEqual();
        assertThat(cluster.requests).noneMatch(request -> request.contains("/endpoints?"));
    }

    @Test
    void escapesServerMessagesAndCapsRetryAfter() {
        cluster.fail("/services", 2, 503, "Retry-After: 86400", "{\"message\":\"one\\nWARN two\"}");
        startReflector();
        await().untilAsserted(() -> assertThat(status("services").trouble()).contains("one\\u000AWARN two"));
        awaitEqual();
    }

    /** Random faults and changes; the final snapshot must match the server. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void recoversFromRandomFaults(long seed) throws IOException {
        Random random = new Random(seed);
        cluster.minor(random.nextBoolean() ? 34 : 28);
        startReflector();
        for (int round = 0; round < 150; round++) {
            injectFault(random);
            change(random);
            change(random);
        }
        cluster.silent(false);
        cluster.clearFailures();
        awaitEqual();
        assertThat(loop.problems()).isEmpty();
    }

    private void injectFault(Random random) throws IOException {
        switch (random.nextInt(10)) {
            case 0 -> cluster.endWatches();
            case 1 -> cluster.breakWatches();
            case 2 -> cluster.compact();
            case 3 -> cluster.fail("watch", 3, 500 + random.nextInt(4), "Retry-After: 0", "x");
            case 4 -> cluster.fail("/services", 2, 429, "Retry-After: 0", "x");
            case 5 -> cluster.silent(random.nextBoolean());
            case 6 -> {
                int port = cluster.port();
                cluster.close();
                change(random);
                cluster.start(port);
            }
            case 7 -> cluster.send(random.nextBoolean() ? "services" : "endpointslices", "{\"type\":");
            case 8 -> cluster.bookmark();
            default -> {
                cluster.changeUnseen(() -> change(random));
                cluster.compact();
                cluster.breakWatches();
            }
        }
    }

    private void change(Random random) {
        String name = "s" + random.nextInt(6);
        List<String> paths = new ArrayList<>(cluster.paths());
        paths.removeIf(path -> path.contains("/nodes/"));
        switch (random.nextInt(4)) {
            case 0 -> cluster.apply(Manifests.service(name, "10.98.0." + (name.charAt(1) - '0' + 1)));
            case 1, 2 -> cluster.apply(Manifests.slice(name, "10.2.0." + (1 + random.nextInt(200))));
            default -> {
                if (!paths.isEmpty()) {
                    cluster.delete(paths.get(random.nextInt(paths.size())));
                }
            }
        }
    }
}
