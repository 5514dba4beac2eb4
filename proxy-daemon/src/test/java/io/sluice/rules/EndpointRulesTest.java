package io.sluice.rules;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import io.sluice.model.Route;
import io.sluice.objects.EndpointsObject.Backend;
import io.sluice.objects.EndpointsObject.Hints;
import io.sluice.rules.EndpointRules.Choice;
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

/** kube-proxy's rules of which endpoints serve: its own test cases, and those one can derive from its code. */
class EndpointRulesTest {
    private static final Path FOLDER = Path.of("src/test/resources/rules");
    private static final String HERE = "here";
    private static final String ELSEWHERE = "elsewhere";

    static Stream<String> vectors() throws IOException {
        return Files.readAllLines(FOLDER.resolve("vectors.txt")).stream().filter(line -> !line.startsWith("#"));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("vectors")
    void vector(String line) {
        String[] parts = line.split("\\|", -1);
        String policies = parts[1].strip();
        Choice choice = EndpointRules.choose(
                endpoints(parts[0].strip()),
                new Policies(
                        policies.startsWith("Local"), policies.split(" ")[1].equals("Local"), policies.endsWith("ext")),
                new NodeLocality("N", "Z"));
        assertThat(names(choice.cluster())).as("cluster").isEqualTo(parts[2].strip());
        assertThat(names(choice.local())).as("local").isEqualTo(parts[3].strip());
        assertThat(choice.any()).as("any").isEqualTo(Boolean.parseBoolean(parts[4].strip()));
    }

    private static Map<Endpoint, Backend> endpoints(String text) {
        Map<Endpoint, Backend> endpoints = new LinkedHashMap<>();
        for (String word : text.isEmpty() ? new String[0] : text.split(" ")) {
            IpAddress address = IpAddress.v4(word.charAt(0));
            List<String> flags = List.of(word.substring(2, word.length() - 1).split(",", -1));
            String conditions = flags.get(0);
            endpoints.put(
                    new Endpoint(address, 80),
                    new Backend(
                            address,
                            conditions.contains("r"),
                            conditions.contains("s"),
                            conditions.contains("t"),
                            flags.contains("L") ? "N" : ELSEWHERE,
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
                .readTree(Files.readString(FOLDER.resolve("topology.json")))
                .forEach(json -> cases.add(new Case(json)));
        assertThat(cases).hasSize(18);
        return cases.stream();
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("cases")
    void kubeProxyCase(Case test) {
        NodeLocality here = new NodeLocality(test.text("node", HERE), test.text("zone", ""));
        Policies policies = new Policies(
                test.isLocal("internalTrafficPolicy"),
                test.isLocal("externalTrafficPolicy"),
                test.json().get("external").booleanValue());
        Map<Endpoint, Backend> endpoints = endpoints(test.json().get("endpoints"), here);
        Choice choice = EndpointRules.choose(endpoints, policies, here);

        JsonNode expected = test.json().get("expected");
        assertThat(texts(choice.cluster())).as("cluster").isEqualTo(set(expected.get("cluster")));
        assertThat(texts(choice.local())).as("local").isEqualTo(set(expected.get("local")));
        assertThat(choice.any()).isEqualTo(expected.get("hasAnyEndpoints").booleanValue());
        Set<String> all = texts(choice.cluster());
        all.addAll(texts(choice.local()));
        assertThat(all).as("all").isEqualTo(set(expected.get("allEndpoints")));
        assertThat(choice.any() && all.isEmpty())
                .isEqualTo(expected.get("onlyRemoteEndpoints").booleanValue());
        if (!endpoints.isEmpty()) {
            assertThat(policies.useCluster()).isEqualTo(!expected.get("cluster").isNull());
            assertThat(policies.useLocal()).isEqualTo(!expected.get("local").isNull());
        }
    }

    private static Map<Endpoint, Backend> endpoints(JsonNode list, NodeLocality here) {
        Map<Endpoint, Backend> endpoints = new LinkedHashMap<>();
        for (JsonNode json : list) {
            IpAddress address = requireNonNull(IpAddress.parse(json.get("ip").stringValue()));
            boolean ready = json.get("ready").booleanValue();
            endpoints.put(
                    new Endpoint(address, json.get("port").intValue()),
                    new Backend(
                            address,
                            ready,
                            ready || json.path("serving").booleanValue(false),
                            json.path("terminating").booleanValue(false),
                            json.get("isLocal").booleanValue() ? here.node() : ELSEWHERE,
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

    /** An empty name would otherwise be equal to that of an endpoint which has none. */
    @Test
    void onANodeWithoutANameNothingIsLocal() {
        Endpoint one = new Endpoint(IpAddress.v4(1), 80);
        Map<Endpoint, Backend> endpoints =
                Map.of(one, new Backend(one.address(), true, true, false, "", new Hints(List.of(), List.of())));
        Choice choice = EndpointRules.choose(endpoints, new Policies(true, false, true), new NodeLocality("", ""));
        assertThat(choice).isEqualTo(new Choice(List.of(one), List.of(), true));
        assertThat(choice.route(true, Route.Source.NODE)).isSameAs(Route.DROP);
        assertThat(choice.route(false, Route.Source.NODE).endpoints()).containsExactly(one);
    }
}
