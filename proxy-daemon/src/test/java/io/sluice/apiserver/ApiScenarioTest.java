package io.sluice.apiserver;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.apiserver.KubernetesReflector.EndpointsApi;
import io.sluice.daemon.Flags;
import io.sluice.document.StrictYaml;
import io.sluice.feed.ManifestReader;
import io.sluice.feed.SyncLoop;
import io.sluice.rules.BuildOptions;
import io.sluice.rules.Dump;
import io.sluice.rules.ObjectStore;
import io.sluice.rules.ObjectStore.SourceState;
import io.sluice.rules.ProblemTracker;
import io.sluice.rules.Scenario;
import io.sluice.rules.Scenario.Section;
import io.sluice.rules.SnapshotBuilder;
import io.sluice.thread.Supervisor;
import java.io.IOException;
import java.io.StringReader;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * All scenarios with objects that an API server can hold: they result in the same snapshot from a server, with random
 * request failures, as from files. A failed test reports the seed; {@code -Dsluice.seed} repeats it.
 */
class ApiScenarioTest {
    private static final Set<String> KINDS = Set.of("Service", "EndpointSlice", "Node", "ServiceCIDR");
    private static final long SEED = Long.getLong("sluice.seed", System.nanoTime());
    private static final WatchTimeouts FAST_RETRIES = new WatchTimeouts(
            Duration.ofMinutes(1),
            Duration.ofMinutes(1),
            Duration.ofMinutes(1),
            Duration.ofMillis(5),
            Duration.ofMillis(50),
            Duration.ofMillis(50),
            Duration.ofMillis(5),
            Duration.ZERO);

    private static int compared;

    static List<Scenario> scenarios() throws IOException {
        return Scenario.all();
    }

    @AfterAll
    static void comparedMostScenarios() {
        assertThat(compared).isGreaterThan(90);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("scenarios")
    void matchesTheSnapshotFromFiles(Scenario scenario) throws IOException {
        Map<String, String> files = new TreeMap<>();
        for (Section section : scenario.sections()) {
            if (section.kind().equals("objects")) {
                files.put(section.file(), section.body());
            } else if (section.kind().equals("gone")) {
                files.remove(section.file());
            }
        }
        Map<String, ObjectNode> objects = objects(files);
        if (objects.isEmpty()) {
            return;
        }
        compared++;
        BuildOptions options = Flags.rules(scenario.flags());
        Random random = new Random(SEED + compared);
        try (FakeCluster cluster = new FakeCluster().start()) {
            cluster.minor(random.nextBoolean() ? 34 : 28);
            objects.values().forEach(cluster::put);
            failSomeRequests(cluster, random);
            SyncLoop loop = new SyncLoop(options, snapshot -> {}, (problem, appeared) -> {}, (nanos, triggers) -> {});
            loop.start(new Supervisor());
            try (KubernetesReflector reflector =
                    new KubernetesReflector(cluster.client(), options, EndpointsApi.AUTO, FAST_RETRIES, loop)) {
                reflector.start(new Supervisor());
                String seed = "sluice.seed " + SEED;
                await(seed)
                        .pollDelay(Duration.ZERO)
                        .pollInterval(Duration.ofMillis(5))
                        .until(loop::synced);
                assertThat(Dump.of(loop.snapshot())).as(seed).isEqualTo(fromFiles(options, files));
            } finally {
                loop.close();
            }
        }
    }

    private static void failSomeRequests(FakeCluster cluster, Random random) {
        int times = 1 + random.nextInt(3);
        switch (random.nextInt(5)) {
            case 0 -> cluster.fail("/services", times, 500 + random.nextInt(4), "Retry-After: 0", "x");
            case 1 -> cluster.fail("/endpointslices", times, 429, "Retry-After: 0", "{\"message\":\"later\"}");
            case 2 -> cluster.fail("watch=true", times, 410, "", "");
            case 3 -> cluster.fail("/", times, 503, "Retry-After: 0", "<html>");
            default -> cluster.clearFailures();
        }
    }

    private static String fromFiles(BuildOptions options, Map<String, String> files) throws IOException {
        ProblemTracker problemTracker = new ProblemTracker();
        ObjectStore store = new ObjectStore(problemTracker);
        for (Map.Entry<String, String> file : files.entrySet()) {
            ManifestReader.Manifest manifest =
                    ManifestReader.read(file.getKey(), options.serviceProxyName(), new StringReader(file.getValue()));
            store.replace(file.getKey(), new SourceState(manifest.objects(), manifest.problems()));
        }
        return Dump.of(new SnapshotBuilder(options, store, problemTracker).build());
    }

    /** The objects of the files; empty if a server cannot hold them: other kinds, lists, missing or duplicate names. */
    private static Map<String, ObjectNode> objects(Map<String, String> files) {
        Map<String, ObjectNode> objects = new LinkedHashMap<>();
        for (String text : files.values()) {
            try (var parser = StrictYaml.parser(new StringReader(text))) {
                while (parser.nextToken() != null) {
                    JsonNode node = parser.readValueAsTree();
                    JsonNode metadata = node.path("metadata");
                    String key = node.path("kind").stringValue("") + " "
                            + metadata.path("namespace").stringValue("") + "/"
                            + metadata.path("name").stringValue("");
                    if (!(node instanceof ObjectNode object)
                            || !KINDS.contains(node.path("kind").stringValue(""))
                            || !metadata.path("name").isString()
                            || objects.putIfAbsent(key, object) != null) {
                        return Map.of();
                    }
                }
            }
        }
        return objects;
    }
}
