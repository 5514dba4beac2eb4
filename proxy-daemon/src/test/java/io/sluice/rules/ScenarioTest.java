package io.sluice.rules;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assertions.fail;

import io.sluice.daemon.Flags;
import io.sluice.document.Problem;
import io.sluice.feed.ManifestReader;
import io.sluice.feed.ManifestReader.Manifest;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route.Source;
import io.sluice.model.ServiceSnapshot;
import io.sluice.rules.ObjectStore.SourceState;
import io.sluice.rules.Scenario.Section;
import io.sluice.rules.Trace.Packet;
import io.sluice.rules.Trace.TraceResult;
import io.sluice.rules.Trace.Verdict;
import java.io.IOException;
import java.io.StringReader;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Runs every scenario through the store, the rules and the tracer. {@link Scenario} describes the file format. */
class ScenarioTest {
    private static final String ARROW = " -> ";

    private final ProblemTracker problemTracker = new ProblemTracker();
    private final ObjectStore store = new ObjectStore(problemTracker);
    private final List<Problem> reported = new ArrayList<>();

    static Stream<Scenario> scenarios() throws IOException {
        return Scenario.all().stream();
    }

    @Test
    void findsAllScenarioFiles() throws IOException {
        assertThat(scenarios()).hasSizeGreaterThanOrEqualTo(85);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("scenarios")
    void matchesExpectations(Scenario scenario) throws IOException {
        BuildOptions options = options(scenario);
        SnapshotBuilder builder = new SnapshotBuilder(options, store, problemTracker);
        int expectations = 0;
        for (Section section : scenario.sections()) {
            String actual;
            switch (section.kind()) {
                case "objects" -> {
                    take(section.file(), options, section.body());
                    continue;
                }
                case "gone" -> {
                    store.replace(section.file(), SourceState.GONE);
                    continue;
                }
                case "map", "node", "settings" -> {
                    assertThat(expectations).as("settings must come first").isZero();
                    continue;
                }
                case "interfaces" -> {
                    builder.interfaceAddresses(section.body()
                            .strip()
                            .lines()
                            .map(IpAddress::parse)
                            .map(address -> requireNonNull(address))
                            .toList());
                    continue;
                }
                case "expect" -> actual = table(builder.build());
                case "trace" -> actual = traced(section.body(), options, builder);
                case "check" -> {
                    builder.build();
                    actual = lines(FeedLint.of(store, builder.localNode()));
                }
                default -> actual = fail("unknown section " + section.kind());
            }
            assertThat(actual)
                    .as(scenario.name() + ":" + section.line())
                    .isEqualTo(section.body().strip());
            expectations++;
        }
        assertThat(expectations).isPositive();
    }

    private static BuildOptions options(Scenario scenario) {
        BuildOptions given = Flags.rules(scenario.flags());
        return scenario.namesTheNode()
                ? given
                : new BuildOptions(
                        "",
                        given.nodeAddresses(),
                        given.clusterCidrs(),
                        given.podsByNode(),
                        given.serviceCidrs(),
                        given.nodePortAddresses(),
                        given.masqueradeAll(),
                        given.frontendMap(),
                        given.serviceProxyName(),
                        given.wildcardNodePorts(),
                        given.serviceDefaults());
    }

    private void take(String name, BuildOptions options, String text) throws IOException {
        Manifest manifest = ManifestReader.read(name, options.serviceProxyName(), new StringReader(text));
        store.replace(name, new SourceState(manifest.objects(), manifest.problems()));
    }

    private String table(ServiceSnapshot snapshot) {
        List<Problem> problems = problemTracker.publish((problem, appeared) -> {
            assertThat(appeared ? reported.add(problem) : reported.remove(problem))
                    .isTrue();
        });
        assertThat(reported).as("problems reported to the listener").containsExactlyInAnyOrderElementsOf(problems);
        return (Dump.of(snapshot) + "\n" + lines(problems)).strip();
    }

    private static String lines(List<Problem> problems) {
        return problems.stream()
                .map(problem -> problem.severity() + " " + problem)
                .collect(Collectors.joining("\n"));
    }

    private String traced(String body, BuildOptions options, SnapshotBuilder builder) {
        ServiceSnapshot snapshot = builder.build();
        Tracer tracer = new Tracer(options, store, builder.localNode(), snapshot);
        return body.strip()
                .lines()
                .map(line -> line.contains(ARROW) ? line.substring(0, line.indexOf(ARROW)) : line)
                .map(line -> line + ARROW + text(tracer.trace(packet(line))))
                .collect(Collectors.joining("\n"));
    }

    private static String text(TraceResult result) {
        if (result.verdict() != Verdict.FORWARD) {
            assertThat(result.endpoints()).isEmpty();
            assertThat(result.source()).isEqualTo(Source.CLIENT);
            return result.verdict() + " " + result.reason();
        }
        String endpoints = result.endpoints().stream().map(String::valueOf).collect(Collectors.joining(" "));
        return result.verdict() + " " + endpoints + (result.source() == Source.NODE ? " as node" : "");
    }

    /** Parses {@code FROM TO:PORT/PROTO}. */
    private static Packet packet(String line) {
        int blank = line.indexOf(' ');
        int colon = line.lastIndexOf(':');
        int slash = line.indexOf('/', colon);
        String protocol = line.substring(slash + 1).toUpperCase(Locale.ROOT);
        return new Packet(
                address(line.substring(0, blank)),
                address(line.substring(blank + 1, colon).replaceAll("[\\[\\]]", "")),
                Integer.parseInt(line.substring(colon + 1, slash)),
                protocol.equals("SCTP") ? null : Protocol.valueOf(protocol));
    }

    private static IpAddress address(String text) {
        return requireNonNull(IpAddress.parse(text), text);
    }
}
