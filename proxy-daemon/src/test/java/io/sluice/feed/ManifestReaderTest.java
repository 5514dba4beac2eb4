package io.sluice.feed;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.document.Problem;
import io.sluice.document.YamlDocuments;
import io.sluice.feed.ManifestReader.Manifest;
import io.sluice.objects.ServiceObject;
import io.sluice.rules.Manifests;
import java.io.FilterReader;
import java.io.IOException;
import java.io.StringReader;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

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
    void readsAListFromTheApiServer() throws IOException {
        Manifest manifest = read("{\"kind\":\"EndpointSliceList\",\"apiVersion\":\"discovery.k8s.io/v1\","
                + "\"metadata\":{\"resourceVersion\":\"1\"},\"items\":null}");
        assertThat(manifest.empty()).isFalse();
        assertThat(manifest.objects()).isEmpty();
        assertThat(manifest.problems()).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(strings = {"", " \n\t\n", "# nothing yet\n", "---\n", "---\n---\n", "null\n", "\uFEFF"})
    void isEmptyWithoutADocument(String text) throws IOException {
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
    void isNotEmptyWithAnEmptyList(String text) throws IOException {
        Manifest manifest = read(text);
        assertThat(manifest.empty()).isFalse();
        assertThat(manifest.objects()).isEmpty();
        assertThat(manifest.problems()).isEmpty();
    }

    @Test
    void reportsAProblemOfAFieldOnce() throws IOException {
        assertThat(read("{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: 17}}")
                        .problems())
                .extracting(Problem::toString)
                .containsExactly(
                        "f: Service default/web: spec.clusterIP: must be a string, not the number 17; put it in quotes");
    }

    @Test
    void rejectsATruncatedJsonFile() throws IOException {
        String whole = JSON.strip();
        for (int end = 1; end < whole.length(); end++) {
            Manifest half = read(whole.substring(0, end));
            assertThat(half.broken()).as(whole.substring(0, end)).hasSize(1);
            assertThat(half.objects()).isEmpty();
        }
    }

    @Test
    void readsJsonAndYamlInOneFile() throws IOException {
        String yaml = Manifests.service("api", "10.96.0.2");
        for (String text : List.of(
                JSON + "---\n" + yaml,
                yaml + "---\n" + JSON,
                "---\n" + JSON + "---\n" + yaml + "...\n",
                "%YAML 1.2\n# a comment\n---\n" + yaml + "--- # another\n" + JSON,
                (yaml + "---\t\n" + JSON).replace("\n", "\r\n"),
                "\uFEFF---\n---\n" + yaml + "---\n\n---" + "\n" + JSON + "---")) {
            Manifest manifest = read(text);
            assertThat(names(manifest))
                    .as(text)
                    .containsExactlyInAnyOrder("Service default/web", "Service default/api");
            assertThat(manifest.problems()).as(text).isEmpty();
        }
    }

    @Test
    void doesNotSplitDocumentsAtSimilarLines() throws IOException {
        Manifest manifest = read("""
                apiVersion: v1
                kind: Service
                metadata:
                  name: web
                  annotations:
                    note: |
                      ---
                      text
                    other: ---text
                ----text: 1
                spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}
                """);
        assertThat(names(manifest)).containsExactly("Service default/web");
        assertThat(manifest.problems()).isEmpty();
    }

    /** The result does not depend on the sizes of the reads. */
    @Test
    void splitsDocumentsTheSameForAnyReadSize() throws IOException {
        String text = "%TAG ! !\n---\na: 1\r\n---\n--- # x\n-\n--\n----\nb\n---";
        for (int size = 1; size < text.length(); size++) {
            List<String> documents = new ArrayList<>();
            List<Integer> lines = new ArrayList<>();
            YamlDocuments reader = new YamlDocuments(new Pieces(text, size));
            while (reader.next()) {
                StringBuilder document = new StringBuilder();
                char[] buffer = new char[size];
                for (int n = reader.read(buffer); n > 0; n = reader.read(buffer)) {
                    document.append(buffer, 0, n);
                }
                documents.add(document.toString());
                lines.add(reader.linesBefore());
            }
            assertThat(documents)
                    .as("%s at a time", size)
                    .containsExactly("%TAG ! !\n---\na: 1\r\n", "---\n", "--- # x\n-\n--\n----\nb\n", "---");
            assertThat(lines).containsExactly(0, 3, 4, 9);
        }
    }

    /** Returns at most a given number of characters in each read. */
    private static final class Pieces extends FilterReader {
        private final int size;

        Pieces(String text, int size) {
            super(new StringReader(text));
            this.size = size;
        }

        @Override
        public int read(char[] target, int offset, int length) throws IOException {
            return super.read(target, offset, Math.min(size, length));
        }
    }

    @Test
    void readsTheOtherDocumentsIfOneIsInvalid() throws IOException {
        String web = Manifests.service("web", "10.96.0.1");
        String api = Manifests.service("api", "10.96.0.2");
        String list = "---\napiVersion: v1\nkind: List\nitems:\n- "
                + Manifests.service("lost", "10.96.0.3")
                        .replaceFirst("---\n", "")
                        .replace("\n", "\n  ") + "\n- {\n";
        Manifest manifest = read(web + list + api);
        assertThat(names(manifest)).containsExactly("Service default/web", "Service default/api");
        int line = (int) (web + list).lines().count();
        assertThat(manifest.broken())
                .singleElement()
                .asString()
                .matches("f: document 2: line (" + line + "|" + (line + 1) + "), column \\d+: .*");
        Manifest json = read(JSON + "{\"kind\": \"List\", ]");
        assertThat(names(json)).containsExactly("Service default/web");
        assertThat(json.broken()).singleElement().asString().startsWith("f: document 2: line 4, column 18: ");
    }

    @Test
    void readsNestedLists() throws IOException {
        Manifest manifest = read("""
                apiVersion: v1
                kind: List
                items:
                - apiVersion: v1
                  kind: List
                  items:
                  - apiVersion: v1
                    kind: ServiceList
                    items:
                    - {metadata: {name: web}, spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}}
                    - {metadata: {name: bad}, spec: {clusterIP: 17}}
                  - {apiVersion: v1, kind: List}
                - apiVersion: v1
                  kind: Service
                  metadata: {name: api}
                  spec: {clusterIP: 10.96.0.2, ports: [{port: 80}]}
                """);
        assertThat(names(manifest)).contains("Service default/web", "Service default/api");
        assertThat(manifest.problems())
                .extracting(Problem::toString)
                .contains(
                        "f: Service default/bad: spec.clusterIP: must be a string, not the number 17; put it in quotes");
    }

    @Test
    void resolvesAliasesAndMergeKeys() throws IOException {
        Manifest manifest = read("""
                apiVersion: v1
                kind: List
                common: &common {apiVersion: v1, kind: Service}
                port: &port {port: 80, protocol: TCP}
                name: &name web
                items:
                - <<: *common
                  metadata: {name: *name}
                  spec:
                    clusterIP: 10.96.0.1
                    ports: &ports
                    - <<: *port
                    - {<<: [*port, {name: second}], port: 81}
                - <<: *common
                  metadata: {name: other}
                  spec: {clusterIP: 10.96.0.2, ports: *ports}
                """.replace("- <<: *port\n", "- {<<: *port, name: first}\n"));
        assertThat(manifest.problems()).isEmpty();
        assertThat(manifest.objects()).extracting(object -> object.key().name()).containsExactly("web", "other");
        assertThat(manifest.objects())
                .allSatisfy(object -> assertThat(((ServiceObject) object).ports())
                        .extracting(port -> port.named().toString())
                        .hasSize(2)
                        .anySatisfy(port -> assertThat(port).contains("first").contains("80"))
                        .anySatisfy(port -> assertThat(port).contains("second").contains("81")));
    }

    @Test
    void acceptsAnAliasInAnIgnoredObject() throws IOException {
        Manifest manifest = read(Manifests.service("web", "10.96.0.1")
                + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: q}\ndata: &d {a: b}\nmore: *d\n");
        assertThat(names(manifest)).containsExactly("Service default/web");
        assertThat(manifest.broken()).isEmpty();
    }

    @Test
    void rejectsAliasesThatExpandToTooMuch() throws IOException {
        StringBuilder laughs = new StringBuilder("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for (int i = 1; i < 30; i++) {
            laughs.append("a%d: &a%d [%s]\n".formatted(i, i, ("*a" + (i - 1) + ", ").repeat(10)));
        }
        assertThat(read(laughs.toString()).broken())
                .singleElement()
                .asString()
                .matches("f: line \\d+, column \\d+: aliases expand to more than 100000 values");
        assertThat(read("a: &a [1, *a]\n").broken())
                .singleElement()
                .asString()
                .isEqualTo("f: line 1, column 11: *a is an alias inside the value it refers to");
    }

    /** A value is copied for each anchor around it, even if no alias refers to them. */
    @Test
    void limitsNestedAnchors() throws IOException {
        StringBuilder anchors = new StringBuilder("data: ");
        for (int i = 0; i < 200; i++) {
            anchors.append("&a%d [".formatted(i));
        }
        anchors.append("x, ".repeat(6_000)).append("]".repeat(200)).append('\n');
        assertThat(read(anchors.toString()).broken())
                .singleElement()
                .asString()
                .matches("f: line \\d+, column \\d+: nested anchors record more than 1000000 values");
    }

    @Test
    void readsItemsThatAMergeKeyAdds() throws IOException {
        String merged = "x: &h\n  apiVersion: v1\n  kind: List\n  items:\n  - "
                + Manifests.service("web", "10.96.0.1")
                        .replace("---\n", "")
                        .strip()
                        .replace("\n", "\n    ")
                + "\n<<: *h\n";
        assertThat(names(read(merged))).containsExactly("Service default/web");
        assertThat(names(read(merged + "items: []\n"))).isEmpty();
        assertThat(read("apiVersion: v1\nkind: List\nitems: {a: b}\n").problems())
                .singleElement()
                .asString()
                .isEqualTo("f: document 1: items: must be a list, not a mapping");
    }

    /** A damaged file is read, or rejected with the position of an error; no other exception is thrown. */
    @Test
    void readsOrRejectsDamagedFiles() throws IOException {
        String yaml = Manifests.service("web", "10.96.0.1") + Manifests.slice("web", "10.1.0.1");
        String characters = "\0\t\n{}[]:,-&*!|>'\"%@`#?~\\ a0\u00e9\ud83d";
        Random random = new Random(9);
        for (int i = 0; i < 4_000; i++) {
            StringBuilder text = new StringBuilder(random.nextBoolean() ? yaml : JSON);
            for (int n = 1 + random.nextInt(3); n > 0; n--) {
                int at = random.nextInt(text.length());
                text.setCharAt(at, characters.charAt(random.nextInt(characters.length())));
            }
            Manifest manifest = read(text.toString());
            assertThat(manifest.objects()).hasSizeLessThanOrEqualTo(2);
            assertThat(manifest.broken())
                    .as(text.toString())
                    .allSatisfy(problem ->
                            assertThat(problem.message()).matches("(line \\d+, column \\d+: |character \\d+: U).+"));
        }
    }
}
