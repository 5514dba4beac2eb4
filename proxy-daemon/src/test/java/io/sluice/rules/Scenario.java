package io.sluice.rules;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/**
 * A file that says one behaviour: objects in, table and verdicts out. It is a list of sections, each with a head line:
 *
 * <ul>
 *   <li>what comes before the first one says what the behaviour is;
 *   <li>{@code === settings}: flags as on the command line of {@code sluice trace}; stands before the first objects;
 *   <li>{@code === map FROM TO}: the same as {@code --map-frontends FROM=TO};
 *   <li>{@code === node NAME}: the same as {@code --node-name NAME}; without it this node has no name;
 *   <li>{@code === objects [FILE]}: the named file, {@code objects.yaml} if none, now holds this;
 *   <li>{@code === interfaces}: this machine's interfaces have these addresses now, one in a line;
 *   <li>{@code === gone FILE}: the file is removed;
 *   <li>{@code === expect}: the frontends there are now, the health checks, then all problems, each marked with its
 *       severity;
 *   <li>{@code === trace}: packets and what becomes of them, {@code FROM TO:PORT/PROTO -> VERDICT}, then the endpoints or
 *       the reason; behind endpoints that see the node instead of the client stands {@code as node};
 *   <li>{@code === check}: what {@code sluice check} tells beyond all problems.
 * </ul>
 *
 * The objects since the last of these three are taken in as one change.
 *
 * @param flags all that settings, map and node sections say
 */
public record Scenario(String name, List<Section> sections, List<String> flags) {
    private static final Path FOLDER = Path.of("src/test/resources/scenarios");

    /**
     * One section.
     *
     * @param words its head line
     * @param line where that stands
     */
    public record Section(List<String> words, String body, int line) {
        public String kind() {
            return words.get(0);
        }

        /** The file it is about. */
        public String file() {
            return words.size() > 1 ? words.get(1) : "objects.yaml";
        }
    }

    public static List<Scenario> all() throws IOException {
        List<Scenario> all = new ArrayList<>();
        try (Stream<Path> files = Files.list(FOLDER)) {
            for (Path file : files.sorted().toList()) {
                all.add(of(file.getFileName().toString(), Files.readString(file)));
            }
        }
        return all;
    }

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
