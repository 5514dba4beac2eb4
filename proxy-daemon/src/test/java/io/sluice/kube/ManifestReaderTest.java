package io.sluice.kube;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sluice.kube.ManifestReader.Manifest;
import java.io.IOException;
import java.io.StringReader;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.core.JacksonException;

class ManifestReaderTest {
    private static final String JSON = """
            {"kind": "List", "apiVersion": "v1", "items": [
              {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "web"},
               "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80, "protocol": "TCP", "name": null}]}}]}
            """;

    private static Manifest read(String text) throws IOException {
        return ManifestReader.read("f", "", new StringReader(text));
    }

    private static List<String> names(Manifest manifest) {
        return manifest.objects().stream()
                .map(object -> object.key().toString())
                .toList();
    }

    @Test
    void readsSeveralJsonDocuments() throws IOException {
        String second = JSON.replace("web", "api");
        assertThat(names(read("\uFEFF\n " + JSON + second)))
                .containsExactly("Service default/web", "Service default/api");
    }

    @Test
    void readsYamlThatLooksLikeJson() throws IOException {
        Manifest manifest = read("{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: None}}\n");
        assertThat(names(manifest)).containsExactly("Service default/web");
        assertThat(manifest.problems()).isEmpty();
    }

    @Test
    void readsAnAnswerOfTheApiServer() throws IOException {
        Manifest manifest = read("{\"kind\":\"EndpointSliceList\",\"apiVersion\":\"discovery.k8s.io/v1\","
                + "\"metadata\":{\"resourceVersion\":\"1\"},\"items\":null}");
        assertThat(manifest.empty()).isFalse();
        assertThat(manifest.objects()).isEmpty();
        assertThat(manifest.problems()).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(strings = {"", " \n\t\n", "# nothing yet\n", "---\n", "---\n---\n", "null\n", "\uFEFF"})
    void noDocumentIsNoList(String text) throws IOException {
        assertThat(read(text).empty()).isTrue();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "apiVersion: v1\nkind: List\nitems: []\n",
                "apiVersion: v1\nkind: List\n",
                "{\"kind\": \"ServiceList\", \"apiVersion\": \"v1\", \"items\": []}",
                "{kind: List, apiVersion: v1, items: }"
            })
    void anEmptyListIsAList(String text) throws IOException {
        Manifest manifest = read(text);
        assertThat(manifest.empty()).isFalse();
        assertThat(manifest.objects()).isEmpty();
        assertThat(manifest.problems()).isEmpty();
    }

    @Test
    void saysOnceWhatIsWrongWithAField() throws IOException {
        assertThat(read("{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: 17}}")
                        .problems())
                .extracting(Problem::toString)
                .containsExactly("f: Service default/web: spec.clusterIP: 17 is not a text; put it in quotes");
    }

    @Test
    void refusesHalfOfAJsonFileAtAnyPlace() {
        String whole = JSON.strip();
        for (int end = 1; end < whole.length(); end++) {
            String half = whole.substring(0, end);
            assertThatThrownBy(() -> read(half)).as(half).isInstanceOf(JacksonException.class);
        }
    }

    /** Whatever the damage, a file is read, or refused by the parser with a place; nothing else is thrown. */
    @Test
    void damageIsReadOrRefused() throws IOException {
        String yaml = Manifests.service("web", "10.96.0.1") + Manifests.slice("web", "10.1.0.1");
        String characters = "\0\t\n{}[]:,-&*!|>'\"%@`#?~\\ a0\u00e9\ud83d";
        Random random = new Random(9);
        for (int i = 0; i < 4_000; i++) {
            StringBuilder text = new StringBuilder(random.nextBoolean() ? yaml : JSON);
            for (int n = 1 + random.nextInt(3); n > 0; n--) {
                int at = random.nextInt(text.length());
                text.setCharAt(at, characters.charAt(random.nextInt(characters.length())));
            }
            try {
                assertThat(read(text.toString()).objects()).hasSizeLessThanOrEqualTo(2);
            } catch (JacksonException e) {
                assertThat(StrictYaml.explain(e))
                        .as(text.toString())
                        .matches("(line \\d+, column \\d+: |character \\d+: U).+");
            }
        }
    }
}
