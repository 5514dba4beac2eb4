package io.sluice.admin;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.http.Response;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

final class StatusPageTest {
    private final Map<String, Response> responses = StatusPage.responses();

    private String text(String path) {
        return Objects.requireNonNull(responses.get(path), path).text();
    }

    private List<String> scripts() {
        return responses.keySet().stream().filter(path -> path.endsWith(".js")).toList();
    }

    /** The paths that a script imports. */
    private List<String> imports(String script) {
        return Pattern.compile("(?m)^import .* from '\\.(/[a-z-]+\\.js)';$")
                .matcher(text(script))
                .results()
                .map(each -> each.group(1))
                .toList();
    }

    @Test
    void servesAllFiles() throws IOException {
        try (Stream<Path> files = Files.list(Path.of("src/main/resources/io/sluice/admin/page"))) {
            assertThat(responses.keySet())
                    .containsExactlyInAnyOrderElementsOf(files.map(file -> "/" + file.getFileName())
                            .map(path -> path.equals("/index.html") ? "/" : path)
                            .toList());
        }
    }

    @Test
    void filesAreSmall() {
        assertThat(responses.values().stream()
                        .mapToInt(each -> each.text().getBytes(StandardCharsets.UTF_8).length)
                        .sum())
                .isBetween(10_000, 150_000);
    }

    /** A script with a missing import, or one that nothing imports, would be found only in a browser. */
    @Test
    void scriptsAreImported() {
        Set<String> imported = new HashSet<>(Set.of("/app.js"));
        for (String script : scripts()) {
            assertThat(imports(script))
                    .as(script)
                    .hasSameSizeAs(text(script)
                            .lines()
                            .filter(line -> line.startsWith("import"))
                            .toList());
            imported.addAll(imports(script));
        }
        assertThat(scripts()).containsExactlyInAnyOrderElementsOf(imported);
    }

    /** Data flows in one direction. */
    @Test
    void importsHaveNoCycle() {
        List<String> left = new ArrayList<>(scripts());
        boolean removed;
        do {
            removed = left.removeIf(script -> imports(script).stream().noneMatch(left::contains));
        } while (removed);
        assertThat(left).isEmpty();
    }

    /** A browser executes a script only with the right type, because responses forbid it to guess. */
    @Test
    void filesHaveTheirContentType() {
        responses.forEach((path, response) -> assertThat(response.contentType())
                .isEqualTo(
                        switch (path) {
                            case "/" -> "text/html; charset=utf-8";
                            case "/style.css" -> "text/css; charset=utf-8";
                            default -> "text/javascript; charset=utf-8";
                        }));
        assertThat(responses.values()).allMatch(each -> each.status() == 200);
    }

    /** The namespace of SVG is only a name. */
    @Test
    void nameNoOtherServer() {
        Pattern url = Pattern.compile("(?:https?:)?//(?!www\\.w3\\.org/2000/svg)[a-z]");
        responses.forEach((path, response) ->
                assertThat(url.matcher(response.text()).find()).as(path).isFalse());
    }

    /** Data that becomes markup could execute scripts, even with a Content Security Policy that has a gap. */
    @Test
    void scriptsNeverParseMarkup() {
        assertThat(scripts())
                .extracting(this::text)
                .allSatisfy(script -> assertThat(script)
                        .doesNotContain(
                                "innerHTML",
                                "outerHTML",
                                "insertAdjacentHTML",
                                "document.write",
                                "DOMParser",
                                "eval("));
        assertThat(text("/")).doesNotContain(" style=", " onclick=", "<style", "<script>");
    }
}
