package io.sluice.rules;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import io.sluice.model.Route;
import io.sluice.objects.EndpointsObject.Hints;
import io.sluice.objects.EndpointsObject.SliceEndpoint;
import io.sluice.rules.EndpointRules.EndpointLists;
import io.sluice.rules.EndpointRules.NodeLocality;
import io.sluice.rules.EndpointRules.Policies;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** kube-proxy's rules for choosing endpoints: its own test cases, and vectors derived from its code. */
class EndpointRulesTest {
    private static final Path DIRECTORY = Path.of("src/test/resources/rules");
    private static final String THIS_NODE = "this-node";
    private static final String OTHER_NODE = "other-node";

    static Stream<String> vectors() throws IOException {
        return Files.readAllLines(DIRECTORY.resolve("vectors.txt")).stream().filter(line -> !line.startsWith("#"));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("vectors")
    void choosesEndpointsOfVector(String line) {
        String[] parts = line.split("\\|", -1);
        String policies = parts[1].strip();
        EndpointLists lists = EndpointRules.categorize(
                endpoints(parts[0].strip()),
                new Policies(
                        policies.startsWith("Local"), policies.split(" ")[1].equals("Local"), policies.endsWith("ext")),
                new NodeLocality("N", "Z"));
        assertThat(names(lists.cluster())).as("cluster").isEqualTo(parts[2].strip());
        assertThat(names(lists.local())).as("local").isEqualTo(parts[3].strip());
        assertThat(lists.any()).as("any").isEqualTo(Boolean.parseBoolean(parts[4].strip()));
    }

    private static Map<Endpoint, SliceEndpoint> endpoints(String text) {
        Map<Endpoint, SliceEndpoint> endpoints = new LinkedHashMap<>();
        for (String word : text.isEmpty() ? new String[0] : text.split(" ")) {
            IpAddress address = IpAddress.v4(word.charAt(0));
            List<String> flags = List.of(word.substring(2, word.length() - 1).split(",", -1));
            String conditions = flags.get(0);
            endpoints.put(
                    new Endpoint(address, 80),
                    new SliceEndpoint(
                            address,
                            conditions.contains("r"),
                            conditions.contains("s"),
                            conditions.contains("t"),
                            flags.contains("L") ? "N" : OTHER_NODE,
                            new Hints(hints(flags, "z="), hints(flags, "n="))));
        }
        return endpoints;
    }

    private static List<String> hints(List<String> flags, String prefix) {
        return flags.stream()
                .filter(flag -> flag.startsWith(prefix))
                .map(flag -> flag.substring(2))
                .toList();
    }

    private static String names(List<Endpoint> endpoints) {
        List<String> names = new ArrayList<>();
        for (char name = 'A'; name <= 'C'; name++) {
            if (endpoints.contains(new Endpoint(IpAddress.v4(name), 80))) {
                names.add(String.valueOf(name));
            }
        }
        assertThat(names).hasSameSizeAs(endpoints);
        return String.join(" ", names);
    }

    private record Case(JsonNode json) {
        @Override
        public String toString() {
            return json.get("name").stringValue();
        }

        String text(String field, String absent) {
            return json.get(field).stringValue(absent);
        }

        boolean isLocal(String policy) {
            return json.get(policy).stringValue().equals("Local");
        }
    }

    static Stream<Case> cases() throws IOException {
        List<Case> cases = new ArrayList<>();
        JsonMapper.builder()
                .build()
                .readTree(Files.readString(DIRECTORY.resolve("topology.json")))
                .forEach(json -> cases.add(new Case(json)));
        assertThat(cases).hasSize(18);
        return cases.stream();
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("cases")
    void agreesWithKubeProxyTestCase(Case test) {
        NodeLocality locality = new NodeLocality(test.text("node", THIS_NODE), test.text("zone", ""));
        Policies policies = new Policies(
                test.isLocal("internalTrafficPolicy"),
                test.isLocal("externalTrafficPolicy"),
                test.json().get("external").booleanValue());
        Map<Endpoint, SliceEndpoint> endpoints = endpoints(test.json().get("endpoints"), locality);
        EndpointLists lists = EndpointRules.categorize(endpoints, policies, locality);

        JsonNode expected = test.json().get("expected");
        assertThat(texts(lists.cluster())).as("cluster").isEqualTo(set(expected.get("cluster")));
        assertThat(texts(lists.local())).as("local").isEqualTo(set(expected.get("local")));
        assertThat(lists.any()).isEqualTo(expected.get("hasAnyEndpoints").booleanValue());
        Set<String> all = texts(lists.cluster());
        all.addAll(texts(lists.local()));
        assertThat(all).as("all").isEqualTo(set(expected.get("allEndpoints")));
        assertThat(lists.any() && all.isEmpty())
                .isEqualTo(expected.get("onlyRemoteEndpoints").booleanValue());
        if (!endpoints.isEmpty()) {
            assertThat(policies.useCluster()).isEqualTo(!expected.get("cluster").isNull());
            assertThat(policies.useLocal()).isEqualTo(!expected.get("local").isNull());
        }
    }

    private static Map<Endpoint, SliceEndpoint> endpoints(JsonNode list, NodeLocality locality) {
        Map<Endpoint, SliceEndpoint> endpoints = new LinkedHashMap<>();
        for (JsonNode json : list) {
            IpAddress address = requireNonNull(IpAddress.parse(json.get("ip").stringValue()));
            boolean ready = json.get("ready").booleanValue();
            endpoints.put(
                    new Endpoint(address, json.get("port").intValue()),
                    new SliceEndpoint(
                            address,
                            ready,
                            ready || json.path("serving").booleanValue(false),
                            json.path("terminating").booleanValue(false),
                            json.get("isLocal").booleanValue() ? locality.node() : OTHER_NODE,
                            new Hints(
                                    List.copyOf(set(json.get("zoneHints"))), List.copyOf(set(json.get("nodeHints"))))));
        }
        return endpoints;
    }

    private static Set<String> set(@Nullable JsonNode list) {
        Set<String> texts = new LinkedHashSet<>();
        if (list != null) {
            list.forEach(text -> texts.add(text.stringValue()));
        }
        return texts;
    }

    private static Set<String> texts(List<Endpoint> endpoints) {
        Set<String> texts = new LinkedHashSet<>();
        endpoints.forEach(endpoint -> texts.add(endpoint.toString()));
        return texts;
    }

    /** An empty node name must not match endpoints without a node name. */
    @Test
    void noEndpointIsLocalOnANodeWithoutAName() {
        Endpoint one = new Endpoint(IpAddress.v4(1), 80);
        Map<Endpoint, SliceEndpoint> endpoints =
                Map.of(one, new SliceEndpoint(one.address(), true, true, false, "", new Hints(List.of(), List.of())));
        EndpointLists lists =
                EndpointRules.categorize(endpoints, new Policies(true, false, true), new NodeLocality("", ""));
        assertThat(lists).isEqualTo(new EndpointLists(List.of(one), List.of(), true));
        assertThat(lists.route(true, Route.Source.NODE)).isSameAs(Route.DROP);
        assertThat(lists.route(false, Route.Source.NODE).endpoints()).containsExactly(one);
    }
}
