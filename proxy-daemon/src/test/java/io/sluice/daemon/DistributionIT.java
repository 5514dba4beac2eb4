package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** What ships, and nothing else. */
final class DistributionIT {
    private static List<String> shipped() throws Exception {
        try (Stream<Path> jars = Files.list(Sluice.HOME.resolve("lib"))) {
            return jars.map(jar -> withoutVersion(jar.getFileName().toString()))
                    .sorted()
                    .toList();
        }
    }

    private static String withoutVersion(String jar) {
        return jar.replaceAll("-\\d[0-9A-Za-z.]*(-linux|\\.jar$)", "$1").replaceAll("\\.jar$", "");
    }

    @Test
    void libHoldsTheListedJars() throws Exception {
        byte[] list = Objects.requireNonNull(getClass().getResourceAsStream("/dist-jars.txt"))
                .readAllBytes();
        assertThat(shipped())
                .as("a jar that comes or goes is a decision: see src/test/resources/dist-jars.txt")
                .isEqualTo(new String(list, StandardCharsets.UTF_8)
                        .lines()
                        .filter(line -> !line.startsWith("#"))
                        .toList());
    }

    @Test
    void nothingElseIsThere() throws Exception {
        try (Stream<Path> files = Files.list(Sluice.HOME)) {
            assertThat(files.map(file -> file.getFileName().toString()).filter(name -> !name.equals("bom.json")))
                    .containsExactlyInAnyOrder("LICENSE", "bin", "lib");
        }
        assertThat(Files.isExecutable(Sluice.HOME.resolve("bin/sluice"))).isTrue();
    }

    @Test
    void billOfMaterialsListsWhatShips() throws Exception {
        Path file = Sluice.HOME.resolve("bom.json");
        assumeThat(file).as("made only by a build that is online").exists();
        JsonNode bom = JsonMapper.shared().readTree(Files.readString(file));
        List<String> components = StreamSupport.stream(bom.get("components").spliterator(), false)
                .map(DistributionIT::jarOf)
                .toList();
        List<String> expected =
                shipped().stream().filter(jar -> !jar.equals("proxy-daemon")).toList();
        assertThat(components).containsExactlyInAnyOrderElementsOf(expected);
        assertThat(bom.at("/metadata/component/name").stringValue()).isEqualTo("proxy-daemon");
    }

    private static String jarOf(JsonNode component) {
        String name = component.get("name").stringValue();
        String purl = component.get("purl").stringValue();
        int classifier = purl.indexOf("classifier=");
        return classifier < 0
                ? name
                : name + "-" + purl.substring(classifier + 11).replaceAll("&.*", "");
    }
}
