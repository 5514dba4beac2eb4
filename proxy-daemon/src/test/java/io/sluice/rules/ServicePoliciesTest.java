package io.sluice.rules;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.feed.ManifestReader;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePort;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.TrafficPolicy;
import io.sluice.rules.ObjectStore.SourceState;
import java.io.IOException;
import java.io.StringReader;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** Annotations together with {@code serviceDefaults}. The scenarios {@code policy-*} test annotations alone. */
final class ServicePoliciesTest {
    private final ProblemTracker problems = new ProblemTracker();
    private final ObjectStore store = new ObjectStore(problems);

    private SnapshotBuilder builder(Map<String, String> defaults) {
        BuildOptions options = new BuildOptions(
                "n1",
                List.of(),
                List.of(),
                false,
                List.of(),
                NodePortAddresses.DEFAULT,
                false,
                List.of(),
                "",
                false,
                PolicyValues.ofTexts(defaults));
        return new SnapshotBuilder(options, store, problems);
    }

    private void service(String name, String ports, String... annotations) throws IOException {
        String manifest = """
                apiVersion: v1
                kind: Service
                metadata: {name: %s, annotations: {%s}}
                spec: {clusterIP: 10.96.0.%d, ports: [%s]}
                """.formatted(
                        name,
                        List.of(annotations).stream()
                                .map(each -> "service.sluice.io/" + each)
                                .collect(Collectors.joining(", ")),
                        1 + name.charAt(0) % 200,
                        ports);
        ManifestReader.Manifest read = ManifestReader.read(name, "", new StringReader(manifest));
        store.replace(name, new SourceState(read.objects(), read.problems()));
    }

    private List<String> problems() {
        List<String> lines = new ArrayList<>();
        problems.publish((problem, appeared) -> {}).forEach(problem -> lines.add(problem.severity() + " " + problem));
        return lines;
    }

    private static TrafficPolicy policy(ServiceSnapshot snapshot, String service) {
        List<ServicePort> ports = snapshot.ofService("default/" + service);
        assertThat(ports).hasSize(1);
        return ports.get(0).policy();
    }

    @Test
    void servicesWithoutAnnotationsShareOneInstance() throws IOException {
        service("a", "{port: 80}");
        service("b", "{port: 80}");
        ServiceSnapshot without = builder(Map.of()).build();
        assertThat(policy(without, "a")).isSameAs(TrafficPolicy.DEFAULT).isSameAs(policy(without, "b"));

        service("a", "{port: 80}");
        service("b", "{port: 80}", "hold: 'no'", "max-connections: '7'");
        service("c", "{port: 80}");
        ServiceSnapshot with = builder(Map.of("max-connections", "7")).build();
        assertThat(PolicyValues.texts(policy(with, "c"))).isEqualTo(Map.of("max-connections", "7"));
        assertThat(policy(with, "b")).isSameAs(policy(with, "c"));
        assertThat(problems())
                .containsExactly(
                        "ERROR b: Service default/b: metadata.annotations[service.sluice.io/hold]: 'no' is invalid; must be a duration"
                                + " such as 500ms, 1.5s, 5m or 1h, from 1s to 1h, or off; using off");
    }

    @Test
    void annotationsOverrideDefaultsKeyByKey() throws IOException {
        Map<String, String> defaults = new LinkedHashMap<>(Map.of(
                "idle-timeout",
                "1h",
                "max-connections",
                "10",
                "health-check-interval",
                "2s",
                "source-ranges",
                "10.0.0.0/8"));
        service(
                "a",
                "{port: 80}",
                "idle-timeout: 'off'",
                "max-connections: lots",
                "health-check: tcp",
                "source-ranges: none");
        ServiceSnapshot snapshot = builder(defaults).build();
        assertThat(PolicyValues.texts(policy(snapshot, "a")))
                .isEqualTo(Map.of("max-connections", "10", "health-check", "tcp", "health-check-interval", "2s"));
        assertThat(snapshot.ofService("default/a").get(0).frontends().get(0).allowedSources())
                .isEmpty();
        assertThat(problems()).singleElement().asString().endsWith("or off; using 10");
    }

    @Test
    void defaultsThatConflictWithAnAnnotationAreNotUsedAndNotReported() throws IOException {
        Map<String, String> defaults = Map.of("slow-start", "10s", "prefer", "zone", "proxy-protocol", "v1");
        service("a", "{port: 80}", "balance: maglev");
        service("b", "{port: 80}", "balance: least-connections");
        service("c", "{port: 80, protocol: UDP}");
        ServiceSnapshot snapshot = builder(defaults).build();
        assertThat(PolicyValues.texts(policy(snapshot, "a")))
                .isEqualTo(Map.of("balance", "maglev", "proxy-protocol", "v1"));
        assertThat(PolicyValues.texts(policy(snapshot, "b")))
                .isEqualTo(Map.of("balance", "least-connections", "prefer", "zone", "proxy-protocol", "v1"));
        assertThat(PolicyValues.texts(policy(snapshot, "c"))).isEqualTo(Map.of("slow-start", "10s", "prefer", "zone"));
        assertThat(problems()).isEmpty();
    }

    @Test
    void annotationsThatConflictWithADefaultAreReported() throws IOException {
        Map<String, String> defaults = Map.of("balance", "maglev", "connect-deadline", "5s");
        service("a", "{port: 80}", "prefer: zone", "connect-timeout: 6s");
        service("b", "{port: 80}", "balance: maglev", "prefer: zone");
        service("c", "{port: 80}", "balance: least-connections", "slow-start: 1s");
        ServiceSnapshot snapshot = builder(defaults).build();
        assertThat(PolicyValues.texts(policy(snapshot, "a"))).isEqualTo(defaults);
        assertThat(PolicyValues.texts(policy(snapshot, "b")))
                .isEqualTo(Map.of("prefer", "zone", "connect-deadline", "5s"));
        assertThat(PolicyValues.texts(policy(snapshot, "c")))
                .isEqualTo(Map.of("balance", "least-connections", "connect-deadline", "5s"));
        String field = ": metadata.annotations[service.sluice.io/";
        assertThat(problems())
                .containsExactlyInAnyOrder(
                        "ERROR a: Service default/a" + field
                                + "prefer]: cannot be combined with 'maglev', the default of balance; using none",
                        "ERROR a: Service default/a" + field
                                + "connect-timeout]: connect-timeout 6s is longer than connect-deadline 5s; using"
                                + " default",
                        "ERROR b: Service default/b" + field
                                + "balance]: 'maglev' cannot be combined with prefer; using round-robin",
                        "ERROR c: Service default/c" + field
                                + "slow-start]: cannot be combined with 'least-connections'; must be off unless balance is"
                                + " round-robin; using off");
    }

    /** A shorter deadline of a Service is reported if the timeout is a default, and the default deadline applies. */
    @Test
    void deadlineIsNotShorterThanTheDefaultTimeout() throws IOException {
        service("a", "{port: 80}", "connect-deadline: 1s");
        ServiceSnapshot snapshot = builder(Map.of("connect-timeout", "2s", "connect-deadline", "3s"))
                .build();
        assertThat(PolicyValues.texts(policy(snapshot, "a")))
                .isEqualTo(Map.of("connect-timeout", "2s", "connect-deadline", "3s"));
        assertThat(problems())
                .singleElement()
                .asString()
                .contains("connect-deadline]: connect-timeout 2s is longer than connect-deadline 1s; using 3s");
    }

    @Test
    void portsOfEachProtocolGetTheKeysThatExistForIt() throws IOException {
        service(
                "a",
                "{name: t, port: 53}, {name: u, port: 53, protocol: UDP}",
                "proxy-protocol: v2",
                "accept-proxy-protocol-from: 192.0.2.1/32");
        for (ServicePort port : builder(Map.of()).build().ofService("default/a")) {
            assertThat(PolicyValues.texts(port.policy()))
                    .isEqualTo(
                            port.name().protocol() == Protocol.TCP
                                    ? Map.of("proxy-protocol", "v2", "accept-proxy-protocol-from", "192.0.2.1/32")
                                    : Map.of("proxy-protocol", "v2"));
        }
        assertThat(problems()).isEmpty();
    }

    @Test
    void reportsSourceRangesOfTheDefaultsThatAllowNoClient() throws IOException {
        service("a", "{port: 80}");
        builder(Map.of("source-ranges", "fd00::/8")).build();
        assertThat(problems())
                .containsExactly(
                        "WARNING a: Service default/a: serviceDefaults: source-ranges contains no IPv4 range, so the IPv4"
                                + " addresses of the Service accept no client");
    }

    @Test
    void invalidSourceRangesAllowNoClient() throws IOException {
        SnapshotBuilder builder = builder(Map.of());
        for (String invalid : List.of("[10.0.0.0/8]", "''", "10.0.0.0", "5")) {
            service("a", "{port: 80}", "source-ranges: " + invalid);
            ServicePort port = builder.build().ofService("default/a").get(0);
            assertThat(port.frontends().get(0).allowedSources()).as(invalid).hasToString("[0.0.0.0/32]");
            Map<String, String> texts = PolicyValues.texts(port.policy());
            assertThat(texts).containsExactly(Map.entry("source-ranges", "no client"));
            assertThat(PolicyValues.ofTexts(texts).policy()).isEqualTo(port.policy());
            assertThat(problems()).as(invalid).anyMatch(problem -> problem.endsWith(" no client is allowed"));
        }
    }

    @Test
    void reportsAnnotationThatIsNotAStringOnce() throws IOException {
        service("a", "{port: 80}", "max-connections: 5");
        builder(Map.of("max-connections", "7")).build();
        String annotation = "ERROR a: Service default/a: metadata.annotations[service.sluice.io/";
        assertThat(problems())
                .containsExactly(annotation + "max-connections]: must be a string, not the number 5; put it in quotes");
        service("a", "{port: 80}", "source-ranges: 5");
        ServicePort port = builder(Map.of()).build().ofService("default/a").get(0);
        assertThat(port.frontends().get(0).allowedSources()).hasToString("[0.0.0.0/32]");
        assertThat(problems())
                .containsExactlyInAnyOrder(
                        annotation + "source-ranges]: must be a string, not the number 5; put it in quotes",
                        annotation + "source-ranges]: no client is allowed");
    }

    @Test
    void reportsFewOfManyUnknownAnnotations() throws IOException {
        String[] unknown = new String[50];
        for (int i = 0; i < unknown.length; i++) {
            unknown[i] = "unknown-" + i + ": x";
        }
        service("a", "{port: 80}", unknown);
        builder(Map.of()).build();
        assertThat(problems()).hasSize(10);
    }

    @Test
    void changeOfAnAnnotationChangesOnlyItsService() throws IOException {
        service("a", "{port: 80}");
        service("b", "{port: 80}", "hold: 1s");
        SnapshotBuilder builder = builder(Map.of());
        ServiceSnapshot before = builder.build();
        service("a", "{port: 80}", "hold: 2s");
        ServiceSnapshot after = builder.build();
        assertThat(PolicyValues.texts(policy(after, "a"))).isEqualTo(Map.of("hold", "2s"));
        assertThat(after.ofService("default/b").get(0))
                .isSameAs(before.ofService("default/b").get(0));
        service("a", "{port: 80}");
        assertThat(policy(builder.build(), "a")).isSameAs(TrafficPolicy.DEFAULT);
    }
}
