package io.sluice.rules;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/**
 * A file that specifies one behavior: objects as input, frontends and verdicts as output. It starts with a description
 * of the behavior, followed by sections, each with a header line:
 *
 * <ul>
 *   <li>{@code === settings}: command-line flags of {@code sluice trace}; must precede the first objects;
 *   <li>{@code === map FROM TO}: the same as {@code --map-frontends FROM=TO};
 *   <li>{@code === node NAME}: the same as {@code --node-name NAME}; without it, this node has no name;
 *   <li>{@code === objects [FILE]}: the new content of a file, by default {@code objects.yaml};
 *   <li>{@code === interfaces}: the new addresses of the machine's interfaces, one per line;
 *   <li>{@code === gone FILE}: removes the file;
 *   <li>{@code === expect}: the current frontends, traffic policies and health checks, then all problems with their severity;
 *   <li>{@code === trace}: packets and their verdicts, {@code FROM TO:PORT/PROTO -> VERDICT}, followed by the endpoints
 *       or the reason, and by {@code as node} if the endpoints see the node's address instead of the client's;
 *   <li>{@code === check}: additional findings of {@code sluice check}.
 * </ul>
 *
 * All object sections before an expect, trace or check section are applied as one change.
 *
 * @param flags all flags from the settings, map and node sections
 */
public record Scenario(String name, List<Section> sections, List<String> flags) {
    private static final Path DIRECTORY = Path.of("src/test/resources/scenarios");

    /**
     * A section of a scenario file.
     *
     * @param words the words of its header line
     * @param line the line number of the header line
     */
    public record Section(List<String> words, String body, int line) {
        /** The kind of section, such as {@code objects}. */
        public String kind() {
            return words.get(0);
        }

        /** The file that an objects or gone section refers to. */
        public String file() {
            return words.size() > 1 ? words.get(1) : "objects.yaml";
        }
    }

    /** Reads all scenario files, sorted by name. */
    public static List<Scenario> all() throws IOException {
        List<Scenario> all = new ArrayList<>();
        try (Stream<Path> files = Files.list(DIRECTORY)) {
            for (Path file : files.sorted().toList()) {
                all.add(of(file.getFileName().toString(), Files.readString(file)));
            }
        }
        return all;
    }

    /** Parses a scenario. */
    public static Scenario of(String name, String text) {
        List<Section> sections = sections(text.lines().toList());
        List<String> flags = new ArrayList<>();
        for (Section section : sections) {
            List<String> words = section.words();
            switch (section.kind()) {
                case "settings" -> flags.addAll(List.of(section.body().strip().split("\\s+")));
                case "map" -> flags.add("--map-frontends=" + words.get(1) + "=" + words.get(2));
                case "node" -> flags.add("--node-name=" + words.get(1));
                default -> {}
            }
        }
        return new Scenario(name, sections, List.copyOf(flags));
    }

    /** Whether the scenario sets a node name. */
    public boolean namesTheNode() {
        return flags.stream().anyMatch(flag -> flag.startsWith("--node-name"));
    }

    private static List<Section> sections(List<String> lines) {
        List<Section> sections = new ArrayList<>();
        String head = "";
        int headLine = 0;
        StringBuilder body = new StringBuilder();
        for (int i = 0; i <= lines.size(); i++) {
            if (i == lines.size() || lines.get(i).startsWith("=== ")) {
                if (!head.isEmpty()) {
                    sections.add(new Section(List.of(head.split(" ")), body.toString(), headLine));
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

    @Override
    public String toString() {
        return name;
    }
}
