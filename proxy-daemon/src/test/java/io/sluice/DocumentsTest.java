package io.sluice;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.cli.Main;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine.ParameterException;

/** Links, anchors and commands in the Markdown files of the repository. */
final class DocumentsTest {
    /** The commands in a code block, after a prompt or in a pod. */
    private static final Pattern COMMAND =
            Pattern.compile("(?m)^(?:\\$ |sudo |in_pod |kubectl .* -- |.*\\| )?sluice ([^|#;>&)\n]*)");

    /** A file of the repository in the text. */
    private static final Pattern FILE =
            Pattern.compile("`((?:deploy|benchmarks|proxy-core|proxy-daemon)/[\\w./-]+\\.\\w+)`");

    private static final Set<String> SHELL = Set.of("sh", "sh needs-cluster", "sh needs-build");

    @Test
    void linksLeadToFilesAndHeadings() throws Exception {
        List<String> broken = new ArrayList<>();
        int links = 0;
        for (Document document : Document.all()) {
            for (String link : document.links()) {
                if (!link.matches("(https?|mailto):.*")) {
                    links++;
                    String reason = broken(document, link);
                    if (!reason.isEmpty()) {
                        broken.add(document.file() + ": " + link + ": " + reason);
                    }
                }
            }
        }
        assertThat(broken).isEmpty();
        assertThat(links).isGreaterThan(50);
    }

    private static String broken(Document document, String link) throws Exception {
        String[] parts = link.split("#", 2);
        Path target = parts[0].isEmpty()
                ? document.file()
                : document.file().resolveSibling(parts[0]).normalize();
        if (!Files.exists(target)) {
            return "no such file";
        }
        if (parts.length == 1) {
            return "";
        }
        Set<String> anchors =
                Document.read(Document.ROOT.relativize(target).toString()).anchors();
        return anchors.contains(parts[1]) ? "" : "no such heading; available: " + anchors;
    }

    @Test
    void brokenLinksAreFound() throws Exception {
        String text =
                "# Use it, now!\n\n[a](#use-it-now) [b\nc](#other) [d](none.md) `[e](code.md)`\n\n    [f](code.md)\n";
        Document document = new Document(Document.ROOT.resolve("none-either.md"), text);
        assertThat(document.anchors()).containsExactly("use-it-now");
        assertThat(document.links()).containsExactly("#use-it-now", "#other", "none.md");
        assertThat(broken(document, "none.md")).isEqualTo("no such file");
        assertThat(broken(Document.read("README.md"), "CONTRIBUTING.md#none")).startsWith("no such heading");
        assertThat(broken(Document.read("README.md"), "CONTRIBUTING.md#rules")).isEmpty();
    }

    @Test
    void namedFilesExist() throws Exception {
        List<String> missing = new ArrayList<>();
        for (Document document : Document.all()) {
            for (Matcher file = FILE.matcher(document.text()); file.find(); ) {
                boolean built = file.group(1).contains("/target/");
                if (!built && !Files.exists(Document.ROOT.resolve(file.group(1)))) {
                    missing.add(document.file() + ": " + file.group(1));
                }
            }
        }
        assertThat(missing).isEmpty();
    }

    @Test
    void commandsHaveOnlyExistingFlags() throws Exception {
        List<String> wrong = new ArrayList<>();
        int commands = 0;
        for (Document document : Document.all()) {
            List<Document.Block> blocks = Stream.concat(
                            document.fenced().stream()
                                    .filter(block -> block.info().startsWith("sh")),
                            document.indented().stream())
                    .toList();
            for (Document.Block block : blocks) {
                for (Matcher command = COMMAND.matcher(block.text()); command.find(); ) {
                    commands++;
                    try {
                        Main.commandLine(Map.of(), InputStream.nullInputStream())
                                .parseArgs(command.group(1).strip().split("\\s+"));
                    } catch (ParameterException e) {
                        wrong.add(document.file() + ": " + command.group() + ": " + e.getMessage());
                    }
                }
            }
        }
        assertThat(wrong).isEmpty();
        assertThat(commands).isGreaterThan(20);
    }

    /** {@code ShellBlocksIT} runs the blocks without a mark. */
    @ParameterizedTest
    @ValueSource(strings = {"README.md", "deploy/README.md"})
    void shellBlocksAreMarkedAndValid(String path) throws Exception {
        Document document = Document.read(path);
        assertThat(document.indented()).as("blocks that a test cannot mark").isEmpty();
        List<Document.Block> blocks = document.fenced().stream()
                .filter(block -> !block.info().isEmpty())
                .toList();
        assertThat(blocks).isNotEmpty();
        assertThat(blocks).extracting(Document.Block::info).isSubsetOf(SHELL);
        for (Document.Block block : blocks) {
            Process bash =
                    new ProcessBuilder("bash", "-n").redirectErrorStream(true).start();
            bash.getOutputStream().write(block.text().getBytes(StandardCharsets.UTF_8));
            bash.getOutputStream().close();
            assertThat(new String(bash.getInputStream().readAllBytes(), StandardCharsets.UTF_8))
                    .as(block.text())
                    .isEmpty();
        }
    }
}
