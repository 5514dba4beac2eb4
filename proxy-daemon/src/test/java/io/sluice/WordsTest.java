package io.sluice;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** Searches everything a person reads for the words in {@code banned-words.txt}. */
class WordsTest {
    private static final Path ROOT = Path.of("..");
    private static final Path LIST = Path.of("src/test/resources/banned-words.txt");
    private static final Pattern READ = Pattern.compile(
            ".*\\.(java|md|nft|ya?ml|txt|sh|service|xml)|sluice|run|stress|compare|soak|scale|Dockerfile.*");
    private static final Set<String> SKIPPED_DIRECTORIES = Set.of("target", ".git");

    /** Line breaks inside a sentence, with the characters that continue a comment. */
    private static final Pattern BREAK = Pattern.compile("\\s*\n\\s*(\\*|#|//)?\\s*");

    private static Map<Pattern, String> banned() throws IOException {
        Map<Pattern, String> banned = new LinkedHashMap<>();
        for (String line : Files.readAllLines(LIST)) {
            if (!line.startsWith("#")) {
                String[] parts = line.split(" {2,}", 2);
                banned.put(Pattern.compile(parts[0], Pattern.CASE_INSENSITIVE), parts[1].strip());
            }
        }
        return banned;
    }

    private static List<String> found(Map<Pattern, String> banned, Path file, String text) {
        String joined = BREAK.matcher(text).replaceAll(" ");
        List<String> found = new ArrayList<>();
        banned.forEach((word, instead) -> {
            for (Matcher matcher = word.matcher(joined); matcher.find(); ) {
                String around = joined.substring(
                        Math.max(0, matcher.start() - 40), Math.min(joined.length(), matcher.end() + 20));
                found.add(file + ": '" + around + "'; instead of '" + matcher.group() + "' write: " + instead);
            }
        });
        return found;
    }

    private static List<Path> files() throws IOException {
        List<Path> files = new ArrayList<>();
        Files.walkFileTree(ROOT, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult preVisitDirectory(Path directory, BasicFileAttributes attributes) {
                return SKIPPED_DIRECTORIES.contains(String.valueOf(directory.getFileName()))
                        ? FileVisitResult.SKIP_SUBTREE
                        : FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
                String name = file.getFileName().toString();
                if (READ.matcher(name).matches() && !file.endsWith(LIST)) {
                    files.add(file);
                }
                return FileVisitResult.CONTINUE;
            }
        });
        return files;
    }

    @Test
    void noFileHasABannedWord() throws IOException {
        Map<Pattern, String> banned = banned();
        List<String> found = new ArrayList<>();
        for (Path file : files()) {
            found.addAll(found(banned, ROOT.relativize(file), Files.readString(file)));
        }
        assertThat(found).isEmpty();
    }

    @Test
    void allModulesAndKindsOfFilesAreSearched() throws IOException {
        List<String> names =
                files().stream().map(file -> ROOT.relativize(file).toString()).toList();
        assertThat(names)
                .contains(
                        "README.md",
                        "proxy-core/src/main/java/io/sluice/forward/Forwarder.java",
                        "proxy-daemon/src/main/resources/io/sluice/node/sluice.nft",
                        "deploy/kubernetes/base/daemonset.yaml",
                        "deploy/systemd/sluice.service",
                        "deploy/Dockerfile",
                        "benchmarks/compare");
        assertThat(names).anyMatch(name -> name.startsWith("benchmarks/"));
    }

    @Test
    void wordsAreFoundAcrossLinesAndInIdentifiers() throws IOException {
        Path file = Path.of("A.java");
        assertThat(found(banned(), file, "// tries in\n    // " + "vain")).hasSize(1);
        assertThat(found(banned(), file, "void rulesThat" + "Some" + "bodyRemoves() {}"))
                .hasSize(1);
        assertThat(found(banned(), file, "a new process restores the rules")).isEmpty();
    }
}
