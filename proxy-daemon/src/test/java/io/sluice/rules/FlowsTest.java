package io.sluice.rules;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.feed.ManifestReader;
import io.sluice.feed.ManifestReader.Manifest;
import io.sluice.model.Cidr;
import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route.Source;
import io.sluice.model.ServiceSnapshot;
import io.sluice.rules.ObjectStore.SourceState;
import io.sluice.rules.Trace.Packet;
import io.sluice.rules.Trace.TraceResult;
import io.sluice.rules.Trace.Verdict;
import java.io.IOException;
import java.io.StringReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * Test cases from kube-proxy's own tests: each is a small cluster with packets, and for each packet the verdict, the
 * usable endpoints and whether they see the client's address.
 */
class FlowsTest {
    private static final Path FILE = Path.of("src/test/resources/rules/flows.json");

    private record Scenario(JsonNode json) {
        private static final JsonMapper JSON = JsonMapper.builder().build();

        static List<Scenario> all() throws IOException {
            List<Scenario> all = new ArrayList<>();
            JSON.readTree(Files.readString(FILE)).forEach(json -> all.add(new Scenario(json)));
            assertThat(all).hasSize(34);
            return all;
        }

        List<Flow> flows() {
            List<Flow> flows = new ArrayList<>();
            json.get("flows").forEach(flow -> flows.add(new Flow(this, flow)));
            return flows;
        }

        BuildOptions options() {
            JsonNode config = json.get("config");
            boolean detector = !config.has("localTrafficDetector")
                    || !config.get("localTrafficDetector").isNull();
            return new BuildOptions(
                    json.get("nodeName").stringValue(),
                    texts(config.get("localNodeIPs")).stream()
                            .map(FlowsTest::address)
                            .toList(),
                    detector ? List.of(cidr(config.get("podCIDR").stringValue())) : List.of(),
                    false,
                    List.of(cidr(config.get("serviceCIDRs").stringValue())),
                    new NodePortAddresses(
                            Set.of(),
                            texts(config.get("nodePortAddresses")).stream()
                                    .map(Scenario::cidr)
                                    .toList()),
                    config.path("masqueradeAll").booleanValue(false),
                    List.of(),
                    "",
                    false);
        }

        private static Cidr cidr(String text) {
            return requireNonNull(Cidr.parse(text), text);
        }

        SourceState state() throws IOException {
            List<JsonNode> items = new ArrayList<>();
            json.get("services").forEach(items::add);
            json.get("endpointSlices").forEach(items::add);
            String list = JSON.writeValueAsString(Map.of("apiVersion", "v1", "kind", "List", "items", items));
            Manifest manifest = ManifestReader.read("flows.json", "", new StringReader(list));
            assertThat(manifest.objects()).hasSize(items.size());
            return new SourceState(manifest.objects(), manifest.problems());
        }
    }

    private record Flow(Scenario scenario, JsonNode json) {
        String text(String field) {
            return json.get(field).stringValue();
        }

        Packet packet() {
            String protocol = text("protocol");
            return new Packet(
                    address(text("sourceIP")),
                    address(text("destIP")),
                    json.get("destPort").intValue(),
                    protocol.equals("SCTP") ? null : Protocol.valueOf(protocol));
        }

        Verdict verdict() {
            JsonNode expected = json.get("expect");
            if (expected.isObject()) {
                return Verdict.FORWARD;
            }
            String text = expected.stringValue();
            // Sluice leaves a packet to the kernel whether kube-proxy accepts it or has no rule for it.
            return text.equals("ACCEPT") || text.equals("NOT_HANDLED") ? Verdict.PASS : Verdict.valueOf(text);
        }

        @Override
        public String toString() {
            return scenario.json().get("name").stringValue() + ": " + text("name") + ": " + text("sourceIP") + " to "
                    + packet().destination();
        }
    }

    static Stream<Flow> flows() throws IOException {
        List<Flow> flows = new ArrayList<>();
        Scenario.all().forEach(scenario -> flows.addAll(scenario.flows()));
        assertThat(flows).hasSize(104);
        return flows.stream();
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("flows")
    void agreesWithKubeProxyTestCase(Flow flow) throws IOException {
        RunningProxy proxy = new RunningProxy(flow.scenario().options());
        check(flow, proxy.trace(flow.scenario(), flow.packet()));
    }

    private static void check(Flow flow, TraceResult result) {
        assertThat(result.verdict()).as(result.reason()).isEqualTo(flow.verdict());
        JsonNode expected = flow.json().get("expect").path("backends");
        assertThat(result.endpoints().stream().map(Endpoint::toString))
                .as(result.reason())
                .containsExactlyInAnyOrderElementsOf(texts(expected));
        assertThat(result.source())
                .as(result.reason())
                .isEqualTo(flow.json().get("masquerade").booleanValue() ? Source.NODE : Source.CLIENT);
    }

    /** Test cases that are successive states of one proxy: earlier states must not affect later ones. */
    @Test
    void agreesWithKubeProxyForSuccessiveStates() throws IOException {
        List<Scenario> steps = Scenario.all().stream()
                .filter(scenario -> scenario.json().has("sequence"))
                .sorted(Comparator.comparingInt(
                        scenario -> scenario.json().get("step").intValue()))
                .toList();
        assertThat(steps).hasSize(9);
        RunningProxy proxy = new RunningProxy(steps.get(0).options());
        for (Scenario step : steps) {
            for (Flow flow : step.flows()) {
                check(flow, proxy.trace(step, flow.packet()));
            }
        }
    }

    private static final class RunningProxy {
        private final BuildOptions options;
        private final ProblemTracker problems = new ProblemTracker();
        private final ObjectStore store = new ObjectStore(problems);
        private final SnapshotBuilder builder;

        RunningProxy(BuildOptions options) {
            this.options = options;
            builder = new SnapshotBuilder(options, store, problems);
        }

        TraceResult trace(Scenario scenario, Packet packet) throws IOException {
            store.replace("flows.json", scenario.state());
            ServiceSnapshot snapshot = builder.build();
            return new Tracer(options, store, builder.localNode(), snapshot).trace(packet);
        }
    }

    private static IpAddress address(String text) {
        return requireNonNull(IpAddress.parse(text), text);
    }

    private static Set<String> texts(JsonNode list) {
        Set<String> texts = new LinkedHashSet<>();
        list.forEach(text -> texts.add(text.stringValue()));
        return texts;
    }
}
