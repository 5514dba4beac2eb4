package io.sluice.rules;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sluice.model.TrafficPolicy;
import io.sluice.model.TrafficPolicy.Algorithm;
import io.sluice.model.TrafficPolicy.Balancing;
import io.sluice.model.TrafficPolicy.Lifetime;
import io.sluice.model.TrafficPolicy.Limits;
import io.sluice.model.TrafficPolicy.Preference;
import io.sluice.model.TrafficPolicy.ProxyHeader;
import io.sluice.model.TrafficPolicy.ProxyProtocol;
import io.sluice.model.TrafficPolicy.Removal;
import io.sluice.model.TrafficPolicy.Timeouts;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

final class PolicyKeyTest {
    private static final Path DOCUMENTATION = Path.of("../deploy/docs/traffic-policy.md");
    private static final String LONG_LIST = IntStream.range(0, RangeList.MAX_RANGES)
            .mapToObj(i -> "10.0." + i / 256 + "." + i % 256 + "/32")
            .collect(Collectors.joining(","));

    /**
     * Values of a key.
     *
     * @param valid strings, each followed by its canonical form
     */
    private record Values(String key, List<String> valid, List<String> invalid) {
        @Override
        public String toString() {
            return key;
        }
    }

    private static Values values(String key, List<String> valid, String... invalid) {
        return new Values(key, valid, List.of(invalid));
    }

    private static List<String> same(String... texts) {
        return Arrays.stream(texts).flatMap(text -> Stream.of(text, text)).toList();
    }

    static List<Values> keys() {
        return List.of(
                values("balance", same("round-robin", "least-connections", "maglev"), "", "off", "Maglev", "random"),
                values("slow-start", same("1s", "24h", "off"), "999ms", "25h", "0s", "none", "30"),
                values("prefer", same("none", "zone", "node"), "off", "region", "zone,node"),
                values("eject-after", same("1", "1000", "off"), "0", "1001", "-1", "3x", "none", "99999999999"),
                values("eject-for", List.of("1s", "1s", "5m", "5m", "1.5s", "1500ms"), "off", "999ms", "301s", "10"),
                values("health-check", same("none", "tcp"), "off", "http", "TCP"),
                values("health-check-interval", same("1s", "1h"), "off", "0s", "500ms", "61m"),
                values("max-connections", same("1", "10000000", "off"), "0", "10000001", "1.5", "many"),
                values("max-connections-per-client", same("1", "10000000", "off"), "0", "10000001", "none"),
                values("max-connections-per-endpoint", same("1", "10000000", "off"), "0", "10000001", "none"),
                values(
                        "connection-rate-per-client",
                        same("1/s", "1000000/s", "1/m", "1000000/m", "off"),
                        "20",
                        "0/s",
                        "1000001/s",
                        "20/h",
                        "20 /s",
                        "-1/s"),
                values("connect-timeout", same("1ms", "1h", "default"), "0ms", "3601s", "off"),
                values("connect-deadline", same("1ms", "1h", "default"), "0ms", "3601s", "off"),
                values("idle-timeout", same("1s", "720h", "off"), "999ms", "721h", "default"),
                values("half-closed-timeout", same("1s", "24h", "default"), "999ms", "25h", "off"),
                values("udp-timeout", same("1s", "24h", "default"), "999ms", "25h", "off"),
                values("udp-unreplied-timeout", same("1s", "24h", "default"), "999ms", "25h", "off"),
                values("proxy-protocol", same("none", "v1", "v2"), "off", "v3", "V1", "1"),
                values(
                        "accept-proxy-protocol-from",
                        List.of(
                                "none",
                                "none",
                                "10.0.0.1/8",
                                "10.0.0.0/8",
                                "fd00::/8 , 10.0.0.0/8",
                                "fd00::/8, 10.0.0.0/8"),
                        "",
                        "off",
                        "10.0.0.1",
                        "10.0.0.0/33",
                        "10.0.0.0/8,",
                        "10.0.0.0/8,none"),
                values(
                        "source-ranges",
                        List.of(
                                "none",
                                "none",
                                "0.0.0.0/0,::/0",
                                "0.0.0.0/0, ::/0",
                                LONG_LIST,
                                LONG_LIST.replace(",", ", ")),
                        "",
                        "all",
                        "10.0.0.0/8 fd00::/8",
                        LONG_LIST + ",fd00::/8"),
                values(
                        "on-endpoint-removed",
                        List.of("keep", "keep", "reset", "reset", "drain 1s", "drain 1s", "drain  24h", "drain 24h"),
                        "off",
                        "drain",
                        "drain ",
                        "drain 0s",
                        "drain 25h",
                        "drain30s",
                        "keep 30s"),
                values("hold", same("1s", "1h", "off"), "999ms", "61m", "none"),
                values("hold-limit", same("1", "100000"), "0", "100001", "off"),
                values("max-connection-age", same("1s", "720h", "off"), "999ms", "721h", "none"),
                values("socket-lb", same("auto", "off"), "", "on", "required", "Auto"));
    }

    @Test
    void hasExactlyTheTestedKeys() {
        assertThat(PolicyKey.values().stream().map(PolicyKey::name))
                .containsExactlyElementsOf(keys().stream().map(Values::key).toList());
    }

    private static PolicyKey<?> key(String name) {
        return Objects.requireNonNull(PolicyKey.of(name), name);
    }

    private static String canonical(String name, String text) {
        PolicyValues values = PolicyValues.NONE.withText(key(name), text);
        // The interval is part of a policy only with health checks.
        return key(name)
                .textIn((name.equals("health-check-interval")
                                ? values.with(PolicyKey.HEALTH_CHECK, PolicyKey.Probe.TCP)
                                : values)
                        .policy());
    }

    @ParameterizedTest
    @MethodSource("keys")
    void parsesAndFormatsValidValues(Values values) {
        Set<String> results = new HashSet<>();
        for (int i = 0; i < values.valid().size(); i += 2) {
            String text = values.valid().get(i);
            String expected = values.valid().get(i + 1);
            assertThat(canonical(values.key(), text)).as(text).isEqualTo(expected);
            assertThat(canonical(values.key(), " " + expected + "\n")).isEqualTo(expected);
            results.add(expected);
        }
        assertThat(results).hasSize(values.valid().size() / 2);
    }

    @ParameterizedTest
    @MethodSource("keys")
    void rejectsInvalidValuesAndDescribesValidOnes(Values values) {
        PolicyKey<?> key = key(values.key());
        for (String text : values.invalid()) {
            assertThatThrownBy(() -> key.parse(text))
                    .as(text)
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("; must be " + key.allowed());
        }
    }

    @Test
    void fillsEveryPartOfThePolicy() {
        PolicyValues values = PolicyValues.ofTexts(Map.ofEntries(
                Map.entry("balance", "least-connections"),
                Map.entry("slow-start", "1s"),
                Map.entry("prefer", "node"),
                Map.entry("eject-after", "4"),
                Map.entry("eject-for", "2s"),
                Map.entry("health-check", "tcp"),
                Map.entry("health-check-interval", "3s"),
                Map.entry("max-connections", "5"),
                Map.entry("max-connections-per-client", "6"),
                Map.entry("max-connections-per-endpoint", "7"),
                Map.entry("connection-rate-per-client", "8/m"),
                Map.entry("connect-timeout", "9s"),
                Map.entry("connect-deadline", "10s"),
                Map.entry("idle-timeout", "11s"),
                Map.entry("half-closed-timeout", "12s"),
                Map.entry("udp-timeout", "13s"),
                Map.entry("udp-unreplied-timeout", "14s"),
                Map.entry("proxy-protocol", "v2"),
                Map.entry("accept-proxy-protocol-from", "10.0.0.0/8"),
                Map.entry("source-ranges", "fd00::/8"),
                Map.entry("on-endpoint-removed", "drain 15s"),
                Map.entry("hold", "16s"),
                Map.entry("hold-limit", "17"),
                Map.entry("max-connection-age", "18s"),
                Map.entry("socket-lb", "off"),
                Map.entry("of-a-newer-version", "x")));
        TrafficPolicy policy = values.policy();
        assertThat(policy)
                .isEqualTo(new TrafficPolicy(
                        new Balancing(
                                Algorithm.LEAST_CONNECTIONS, seconds(1), Preference.NODE, 4, seconds(2), seconds(3)),
                        new Limits(5, 6, 7, 8, seconds(60)),
                        new Timeouts(seconds(9), seconds(10), seconds(11), seconds(12), seconds(13), seconds(14)),
                        new ProxyProtocol(ProxyHeader.V2, RangeList.valid("10.0.0.0/8")),
                        new Lifetime(Removal.DRAIN, seconds(15), seconds(16), 17, seconds(18)),
                        RangeList.valid("fd00::/8"),
                        false));
        assertThat(PolicyValues.ofTexts(PolicyValues.texts(policy)).policy()).isEqualTo(policy);
        assertThat(PolicyValues.texts(policy)).hasSize(PolicyKey.values().size());
    }

    private static long seconds(long number) {
        return TimeUnit.SECONDS.toNanos(number);
    }

    @Test
    void defaultIsOneInstanceWithoutTexts() {
        assertThat(PolicyValues.NONE.policy()).isSameAs(TrafficPolicy.DEFAULT);
        assertThat(PolicyValues.NONE.withText(PolicyKey.EJECT_AFTER, "3").policy())
                .isSameAs(TrafficPolicy.DEFAULT);
        assertThat(PolicyValues.texts(TrafficPolicy.DEFAULT)).isEmpty();
        assertThat(PolicyValues.summary(TrafficPolicy.DEFAULT)).isEmpty();
    }

    @Test
    void summaryShortensLongLists() {
        TrafficPolicy policy =
                PolicyValues.NONE.withText(PolicyKey.SOURCE_RANGES, LONG_LIST).policy();
        assertThat(PolicyValues.summary(policy))
                .startsWith("source-ranges: 10.0.0.0/32, 10.0.0.1/32, ")
                .endsWith("...")
                .hasSizeLessThan(120);
    }

    @Test
    void namesTheFirstInvalidRange() {
        for (PolicyKey<?> key : List.of(PolicyKey.SOURCE_RANGES, PolicyKey.ACCEPT_PROXY_PROTOCOL_FROM)) {
            assertThatThrownBy(() -> key.parse(LONG_LIST.replace("10.0.0.99/32", "10.0.0.99/33,x")))
                    .hasMessageStartingWith("has 1001 ranges; must be ranges such as ")
                    .hasMessageContaining("at most 1000");
            assertThatThrownBy(() -> key.parse(LONG_LIST.replace("10.0.0.99/32", "10.0.0.99/33")))
                    .hasMessageStartingWith("range 100, '10.0.0.99/33', is invalid; must be ranges such as ");
            assertThatThrownBy(() -> key.parse("10.0.0.0/8,"))
                    .hasMessageStartingWith("range 2, '', is invalid; must be ranges such as ");
            assertThatThrownBy(() -> key.parse("10.0.0.1"))
                    .hasMessageStartingWith("'10.0.0.1' is invalid; must be ranges such as ");
        }
    }

    @Test
    void documentationListsEveryKeyWithItsDefault() throws IOException {
        List<List<String>> rows = Files.readAllLines(DOCUMENTATION).stream()
                .filter(line -> line.startsWith("| `"))
                .map(line -> Arrays.stream(line.split("\\|")).map(String::strip).toList())
                .toList();
        assertThat(rows.stream().map(row -> row.get(1)))
                .containsExactlyElementsOf(
                        PolicyKey.values().stream().map(key -> "`" + key + "`").toList());
        for (List<String> row : rows) {
            PolicyKey<?> key = key(row.get(1).replace("`", ""));
            assertThat(row.get(3)).isEqualTo("`" + key.textIn(TrafficPolicy.DEFAULT) + "`");
        }
    }
}
