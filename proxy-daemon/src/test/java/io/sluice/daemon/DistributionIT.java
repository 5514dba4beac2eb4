package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Checks the files of the distribution. */
final class DistributionIT {
    private static List<String> jarNames() throws Exception {
        try (Stream<Path> jars = Files.list(SluiceProcess.HOME.resolve("lib"))) {
            return jars.map(jar -> withoutVersion(jar.getFileName().toString()))
                    .sorted()
                    .toList();
        }
    }

    private static String withoutVersion(String jar) {
        return jar.replaceAll("-\\d[0-9A-Za-z.]*(-linux|\\.jar$)", "$1").replaceAll("\\.jar$", "");
    }

    @Test
    void libContainsExactlyTheListedJars() throws Exception {
        byte[] list = Objects.requireNonNull(getClass().getResourceAsStream("/dist-jars.txt"))
                .readAllBytes();
        assertThat(jarNames())
                .as("if the change of the shipped jars is intended, update src/test/resources/dist-jars.txt")
                .isEqualTo(new String(list, StandardCharsets.UTF_8)
                        .lines()
                        .filter(line -> !line.startsWith("#"))
                        .toList());
    }

    @Test
    void containsNoOtherFiles() throws Exception {
        try (Stream<Path> files = Files.list(SluiceProcess.HOME)) {
            assertThat(files.map(file -> file.getFileName().toString()).filter(name -> !name.equals("bom.json")))
                    .containsExactlyInAnyOrder("LICENSE", "NOTICE", "licenses", "bin", "lib");
        }
        assertThat(Files.isExecutable(SluiceProcess.HOME.resolve("bin/sluice"))).isTrue();
    }

    /** A new jar needs a line with its license in NOTICE, and a file with the text unless that is Apache-2.0. */
    @Test
    void noticeNamesAllJarsAndLicenses() throws Exception {
        List<String> notice = Files.readAllLines(SluiceProcess.HOME.resolve("NOTICE"));
        List<String> jars = notice.stream()
                .skip(notice.stream()
                                .takeWhile(line -> !line.startsWith("-----"))
                                .count()
                        + 1)
                .takeWhile(line -> !line.isEmpty())
                .filter(line -> !line.startsWith(" "))
                .map(line -> line.replaceAll(" .*", ""))
                .toList();
        assertThat(jars)
                .containsExactlyInAnyOrderElementsOf(jarNames().stream()
                        .filter(jar -> !jar.startsWith("proxy-"))
                        .toList());
        Set<String> texts = Pattern.compile("licenses/([\\w.-]+\\.txt)")
                .matcher(String.join("\n", notice))
                .results()
                .map(found -> found.group(1))
                .collect(Collectors.toSet());
        try (Stream<Path> files = Files.list(SluiceProcess.HOME.resolve("licenses"))) {
            assertThat(files.map(file -> file.getFileName().toString())).containsExactlyInAnyOrderElementsOf(texts);
        }
    }

    @Test
    void billOfMaterialsListsAllJars() throws Exception {
        Path file = SluiceProcess.HOME.resolve("bom.json");
        assumeThat(file).as("created only by a build with network access").exists();
        JsonNode bom = JsonMapper.shared().readTree(Files.readString(file));
        List<String> components = StreamSupport.stream(bom.get("components").spliterator(), false)
                .map(DistributionIT::jarOf)
                .toList();
        List<String> expected =
                jarNames().stream().filter(jar -> !jar.equals("proxy-daemon")).toList();
        assertThat(components).containsExactlyInAnyOrderElementsOf(expected);
        assertThat(bom.at("/metadata/component/name").stringValue()).isEqualTo("proxy-daemon");
    }

    /** Uses a shell, because a JVM in the locale C cannot create the directory. */
    @Test
    void acceptsPathsWithSpecialCharactersInAnyLocale(@TempDir Path directory) throws Exception {
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
        Process process = start(directory, script);
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor()).as(output).isZero();
        assertThat(output.lines().filter(line -> line.startsWith("1 service, 1 address;")))
                .as(output)
                .hasSize(4);
    }

    private static Process start(Path directory, String script) throws Exception {
        ProcessBuilder builder = new ProcessBuilder("sh", "-c", script).directory(directory.toFile());
        builder.environment().put("SLUICE_HOME", SluiceProcess.HOME.toString());
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
