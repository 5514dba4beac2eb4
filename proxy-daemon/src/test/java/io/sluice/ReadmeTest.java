package io.sluice;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Consistency of the README with the repository. */
class ReadmeTest {
    private static final Path ROOT = Path.of("..");

    private static String readme() throws IOException {
        return Files.readString(ROOT.resolve("README.md"));
    }

    @Test
    void namesOnlyExistingTypesInTheDiagram() throws IOException {
        Set<String> types = new HashSet<>();
        for (String module : List.of("proxy-core", "proxy-daemon")) {
            try (Stream<Path> files = Files.walk(ROOT.resolve(module).resolve("src/main/java"))) {
                files.map(file -> file.getFileName().toString().replace(".java", ""))
                        .forEach(types::add);
            }
        }
        String readme = readme();
        int start = readme.indexOf("```");
        String diagram = readme.substring(start, readme.indexOf("```", start + 3));
        List<String> named = Pattern.compile("[A-Z]\\w+")
                .matcher(diagram)
                .results()
                .map(MatchResult::group)
                .toList();
        assertThat(named).hasSizeGreaterThan(5);
        assertThat(types).containsAll(named);
    }

    @Test
    void isShort() throws IOException {
        List<String> lines = readme().lines().toList();
        assertThat(lines).hasSizeLessThanOrEqualTo(120);
        assertThat(lines).allSatisfy(line -> assertThat(line.length()).as(line).isLessThanOrEqualTo(125));
    }

    @Test
    void contributingExplainsEveryJarOfTheDistribution() throws IOException {
        String text = Document.read("CONTRIBUTING.md").text();
        String dependencies = text.substring(text.indexOf("## Dependencies"), text.indexOf("## Rules"));
        List<String> missing = new ArrayList<>();
        for (String jar : Files.readAllLines(Path.of("src/test/resources/dist-jars.txt"))) {
            String name = jar.replaceAll("-linux-.*", "").replace("prometheus-metrics-tracer", "-tracer");
            boolean there = dependencies.contains("`" + name + "`")
                    || dependencies.contains("`" + name.replace("prometheus-metrics-", "-") + "`")
                    || (name.startsWith("-tracer") && dependencies.contains("`-tracer-*`"));
            if (!jar.startsWith("#") && !there) {
                missing.add(jar);
            }
        }
        assertThat(missing).isEmpty();
    }
}
