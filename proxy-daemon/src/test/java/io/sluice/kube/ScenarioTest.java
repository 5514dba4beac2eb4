package io.sluice.kube;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assertions.fail;

import io.sluice.kube.ManifestReader.Manifest;
import io.sluice.kube.ObjectStore.SourceState;
import io.sluice.model.Cidr;
import io.sluice.model.ServiceSnapshot;
import java.io.IOException;
import java.io.StringReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * One file per behaviour. A file is a list of sections, each with a head line:
 *
 * <ul>
 *   <li>what comes before the first one says what the behaviour is;
 *   <li>{@code === objects [FILE]}: the named file, {@code objects.yaml} if none, now holds this;
 *   <li>{@code === gone FILE}: the file is removed;
 *   <li>{@code === map FROM TO}: frontends are moved between ranges; stands before the first objects;
 *   <li>{@code === node NAME}: this node's name, none if not given; stands before the first objects;
 *   <li>{@code === expect}: the frontends there are now, then all problems, each marked with its severity. The sections
 *       since the last expectation are taken in as one change.
 * </ul>
 */
class ScenarioTest {
    private static final Path FOLDER = Path.of("src/test/resources/scenarios");

    private final ProblemBoard board = new ProblemBoard();
    private final ObjectStore store = new ObjectStore(board);
    private final List<BuildOptions.AddressMap> maps = new ArrayList<>();
    private final List<Problem> told = new ArrayList<>();

    static Stream<Path> scenarios() throws IOException {
        try (Stream<Path> files = Files.list(FOLDER)) {
            return files.map(FOLDER::relativize).sorted().toList().stream();
        }
    }

    private record Section(String head, String body, int line) {}

    @ParameterizedTest(name = "{0}")
    @MethodSource("scenarios")
    void behaves(Path file) throws IOException {
        List<Section> sections = sections(Files.readAllLines(FOLDER.resolve(file)));
        SnapshotBuilder builder = new SnapshotBuilder(options(sections), store, board);
        int expectations = 0;
        for (Section section : sections) {
            String[] words = section.head().split(" ");
            switch (words[0]) {
                case "objects" -> take(words.length > 1 ? words[1] : "objects.yaml", section.body());
                case "gone" -> store.replace(words[1], SourceState.GONE);
                case "map" -> assertThat(maps).isNotEmpty();
                case "node" -> assertThat(words).hasSize(2);
                case "expect" -> {
                    assertThat(actual(builder.build()))
                            .as(file + ":" + section.line())
                            .isEqualTo(section.body().strip());
                    expectations++;
                }
                default -> fail("unknown section " + section.head());
            }
        }
        assertThat(expectations).isPositive();
    }

    private BuildOptions options(List<Section> sections) {
        String nodeName = "";
        for (Section section : sections) {
            String[] words = section.head().split(" ");
            if (words[0].equals("map")) {
                maps.add(new BuildOptions.AddressMap(cidr(words[1]), cidr(words[2])));
            } else if (words[0].equals("node")) {
                nodeName = words[1];
            }
        }
        return new BuildOptions(
                nodeName, List.of(), List.of(), false, List.of(), NodePortAddresses.DEFAULT, false, maps);
    }

    private static Cidr cidr(String text) {
        return Objects.requireNonNull(Cidr.parse(text));
    }

    private void take(String name, String text) throws IOException {
        Manifest manifest = ManifestReader.read(name, new StringReader(text));
        store.replace(name, new SourceState(manifest.objects(), manifest.problems()));
    }

    private String actual(ServiceSnapshot snapshot) {
        List<String> lines = new ArrayList<>(Dump.lines(snapshot));
        List<Problem> problems = board.publish((problem, appeared) -> {
            assertThat(appeared ? told.add(problem) : told.remove(problem)).isTrue();
        });
        assertThat(told).as("what the listener was told").containsExactlyInAnyOrderElementsOf(problems);
        for (Problem problem : problems) {
            lines.add(problem.severity() + " " + problem);
        }
        return String.join("\n", lines);
    }

    private static List<Section> sections(List<String> lines) {
        List<Section> sections = new ArrayList<>();
        String head = "";
        int headLine = 0;
        StringBuilder body = new StringBuilder();
        for (int i = 0; i <= lines.size(); i++) {
            if (i == lines.size() || lines.get(i).startsWith("=== ")) {
                if (!head.isEmpty()) {
                    sections.add(new Section(head, body.toString(), headLine));
                }
                head = i == lines.size() ? "" : lines.get(i).substring(4).strip();
                headLine = i + 1;
                body.setLength(0);
            } else {
                body.append(lines.get(i)).append('\n');
            }
        }
        return sections;
    }
}
