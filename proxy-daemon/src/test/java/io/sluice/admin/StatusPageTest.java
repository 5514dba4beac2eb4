package io.sluice.admin;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.http.Response;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Objects;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

final class StatusPageTest {
    private final Map<String, Response> responses = StatusPage.responses();

    private String text(String path) {
        return Objects.requireNonNull(responses.get(path), path).text();
    }

    @Test
    void hasThreeSmallFiles() {
        assertThat(responses).containsOnlyKeys("/", "/app.js", "/style.css");
        assertThat(responses.values().stream()
                        .mapToInt(each -> each.text().getBytes(StandardCharsets.UTF_8).length)
                        .sum())
                .isBetween(10_000, 150_000);
    }

    /** A browser executes a script only with the right type, because responses forbid it to guess. */
    @Test
    void filesHaveTheirContentType() {
        responses.forEach((path, response) -> assertThat(response.contentType())
                .isEqualTo(
                        switch (path) {
                            case "/" -> "text/html; charset=utf-8";
                            case "/app.js" -> "text/javascript; charset=utf-8";
                            default -> "text/css; charset=utf-8";
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
    void scriptNeverParsesMarkup() {
        assertThat(text("/app.js"))
                .doesNotContain("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "eval(");
        assertThat(text("/")).doesNotContain(" style=", " onclick=", "<style", "<script>");
    }
}
