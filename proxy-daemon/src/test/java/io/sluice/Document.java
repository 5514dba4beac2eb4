package io.sluice;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** A Markdown file of the repository: its code blocks, links and anchors. */
public record Document(Path file, String text) {
    public static final Path ROOT = Path.of("..");

    private static final Pattern FENCED = Pattern.compile("(?ms)^```([^\n]*)\n(.*?)^```$");
    /** Follows an empty line or a heading. */
    private static final Pattern INDENTED =
            Pattern.compile("(?m)^(?:(?<=\n\n)|(?<=\n#{1,6} [^\n]{0,120}\n))((?: {4}[^\n]*\n)+)");

    private static final Pattern LINK = Pattern.compile("\\[[^]]*]\\(([^)\\s]+)\\)");
    private static final Pattern HEADING = Pattern.compile("(?m)^#+ (.+)$");

    /**
     * A code block.
     *
     * @param info language and marks of a fenced block; empty for an indented one
     */
    public record Block(String info, String text) {}

    /** Reads all documents of the repository. */
    static List<Document> all() throws IOException {
        List<Document> documents = new ArrayList<>();
        try (Stream<Path> files = Files.walk(ROOT)) {
            for (Path file : files.filter(Document::isDocument).sorted().toList()) {
                documents.add(read(ROOT.relativize(file).toString()));
            }
        }
        return documents;
    }

    private static boolean isDocument(Path file) {
        boolean generated = Stream.of("target", ".git")
                .anyMatch(name -> ROOT.relativize(file).startsWith(name)
                        || file.toString().contains("/" + name + "/"));
        return !generated && file.toString().endsWith(".md");
    }

    /** Reads a document; the path is relative to the root of the repository. */
    public static Document read(String path) throws IOException {
        Path file = ROOT.resolve(path);
        return new Document(file, Files.readString(file));
    }

    /** The fenced blocks. */
    public List<Block> fenced() {
        return FENCED.matcher(text)
                .results()
                .map(found -> new Block(found.group(1), found.group(2)))
                .toList();
    }

    /** The blocks that are indented by four blanks. */
    List<Block> indented() {
        return INDENTED.matcher(FENCED.matcher(text).replaceAll(""))
                .results()
                .map(found -> new Block("", found.group(1).replaceAll("(?m)^ {4}", "")))
                .toList();
    }

    /** The text without code, in which brackets have another meaning. */
    private String prose() {
        String prose = FENCED.matcher(text).replaceAll("");
        return INDENTED.matcher(prose).replaceAll("").replaceAll("`[^`\n]*`", "code");
    }

    /** The targets of all links and images. */
    List<String> links() {
        return LINK.matcher(prose()).results().map(found -> found.group(1)).toList();
    }

    /** The anchors of the headings, as GitHub creates them. */
    Set<String> anchors() {
        Set<String> anchors = new HashSet<>();
        for (Matcher heading = HEADING.matcher(FENCED.matcher(text).replaceAll("")); heading.find(); ) {
            String anchor = heading.group(1)
                    .toLowerCase(Locale.ROOT)
                    .replaceAll("[^\\p{L}\\p{N} _-]", "")
                    .replace(' ', '-');
            String unique = anchor;
            for (int i = 1; !anchors.add(unique); i++) {
                unique = anchor + "-" + i;
            }
        }
        return anchors;
    }
}
