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
import org.junit.jupiter.api.io.TempDir;
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

    /** Written by a shell, since a JVM under the locale C cannot even name the folder. */
    @Test
    void runsFromAndReadsPathsOfAnyCharactersUnderAnyLocale(@TempDir Path folder) throws Exception {
        String script = """
                set -e
                unusual=$(printf 'a:b \\303\\274')
                mkdir -p "$unusual/feed"
                cp -r "$SLUICE_HOME" "$unusual/sluice"
                cat > "$unusual/feed/web.yaml" << END
                apiVersion: v1
                kind: Service
                metadata: {name: web}
                spec: {clusterIP: 127.96.0.1, ports: [{port: 80}]}
                END
                for locale in C POSIX de_DE.ISO-8859-1 C.UTF-8; do
                  LANG=$locale LC_ALL=$locale "$unusual/sluice/bin/sluice" check --feed "$unusual/feed"
                done
                """;
        Process process = start(folder, script);
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor()).as(output).isZero();
        assertThat(output.lines().filter(line -> line.startsWith("1 service, 1 address;")))
                .as(output)
                .hasSize(4);
    }

    private static Process start(Path folder, String script) throws Exception {
        ProcessBuilder builder = new ProcessBuilder("sh", "-c", script).directory(folder.toFile());
        builder.environment().put("SLUICE_HOME", Sluice.HOME.toString());
        builder.environment().put("JAVA_HOME", System.getProperty("java.home"));
        return builder.redirectErrorStream(true).start();
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
