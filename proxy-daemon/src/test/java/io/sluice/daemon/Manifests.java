package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import io.sluice.document.StrictYaml;
import java.io.File;
import java.io.StringReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import tools.jackson.core.JsonParser;
import tools.jackson.databind.JsonNode;

/** Builds the manifests in {@code deploy/} with the real programs, and parses them. */
final class Manifests {
    static final Path DEPLOY = Path.of("../deploy");
    static final Path KUBERNETES = DEPLOY.resolve("kubernetes");
    static final Path CHART = DEPLOY.resolve("helm/sluice");

    private Manifests() {}

    /**
     * Exit code and output of a program.
     *
     * @param text standard output followed by standard error
     */
    record Output(int code, String text) {}

    static List<JsonNode> documents(String text) {
        List<JsonNode> documents = new ArrayList<>();
        try (JsonParser parser = StrictYaml.parser(new StringReader(text))) {
            while (parser.nextToken() != null) {
                documents.add(parser.readValueAsTree());
            }
        }
        return documents;
    }

    static JsonNode only(List<JsonNode> objects, String kind) {
        List<JsonNode> found = objects.stream()
                .filter(object -> object.path("kind").stringValue("").equals(kind))
                .toList();
        assertThat(found).as(kind).hasSize(1);
        return found.get(0);
    }

    static List<String> strings(JsonNode list) {
        return list.valueStream().map(JsonNode::stringValue).toList();
    }

    /**
     * Returns the objects of an overlay with a component, as if the overlay listed it.
     *
     * @param directory an empty directory
     */
    static List<JsonNode> overlay(String name, String component, Path directory) throws Exception {
        // kustomize requires relative paths.
        Path kubernetes = directory.toRealPath().relativize(KUBERNETES.toRealPath());
        Files.writeString(directory.resolve("kustomization.yaml"), """
                apiVersion: kustomize.config.k8s.io/v1beta1
                kind: Kustomization
                resources: [%1$s/%2$s]
                components: [%1$s/%3$s]
                """.formatted(kubernetes, name, component));
        return overlay(directory.toRealPath().toString());
    }

    /** Returns the objects of an overlay, built by kustomize or kubectl. Skips the test if both are missing. */
    static List<JsonNode> overlay(String name) throws Exception {
        boolean kustomize = installed("kustomize");
        assumeThat(kustomize || installed("kubectl"))
                .as("kustomize or kubectl, which build overlays, is on the PATH")
                .isTrue();
        List<String> command = kustomize ? List.of("kustomize", "build") : List.of("kubectl", "kustomize");
        Output output = run(Stream.concat(
                        command.stream(), Stream.of(KUBERNETES.resolve(name).toString()))
                .toList());
        assertThat(output.code()).as(output.text()).isZero();
        return documents(output.text());
    }

    /**
     * Runs {@code helm template} for a release in kube-system. Skips the test if helm is missing.
     *
     * @param arguments further arguments, for example values
     */
    static Output helmTemplate(String... arguments) throws Exception {
        // A helm that was built from source assumes Kubernetes 1.20, which the chart does not support.
        List<String> command = new ArrayList<>(List.of(
                "helm", "template", "sluice", CHART.toString(), "--namespace=kube-system", "--kube-version=1.34.0"));
        command.addAll(List.of(arguments));
        assumeHelm();
        return run(command);
    }

    static Output helmLint(String... arguments) throws Exception {
        List<String> command = new ArrayList<>(List.of("helm", "lint", "--strict", CHART.toString()));
        command.addAll(List.of(arguments));
        assumeHelm();
        return run(command);
    }

    private static void assumeHelm() {
        assumeThat(installed("helm"))
                .as("helm, which renders the chart, is on the PATH")
                .isTrue();
    }

    private static boolean installed(String program) {
        return Stream.of(System.getenv("PATH").split(File.pathSeparator))
                .anyMatch(each -> Files.isExecutable(Path.of(each, program)));
    }

    static Output run(List<String> command) throws Exception {
        Path out = Files.createTempFile("out", ".txt");
        Path err = Files.createTempFile("err", ".txt");
        try {
            Process process = new ProcessBuilder(command)
                    .redirectOutput(out.toFile())
                    .redirectError(err.toFile())
                    .start();
            boolean ended = process.waitFor(120, TimeUnit.SECONDS);
            process.destroyForcibly();
            String text = Files.readString(out) + Files.readString(err);
            assertThat(ended).as("%s ends within 120 s: %s", command, text).isTrue();
            return new Output(process.exitValue(), text);
        } finally {
            Files.delete(out);
            Files.delete(err);
        }
    }
}
