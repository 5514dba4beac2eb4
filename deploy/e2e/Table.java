import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import javax.xml.parsers.DocumentBuilderFactory;
import org.w3c.dom.Element;

/**
 * Prints the results of upstream's tests as Markdown, one column for each run: {@code java deploy/e2e/Table.java
 * kube-proxy=OUT sluice=OUT}. Each argument is a name and a directory of {@code deploy/e2e/suite}. If a test ran again
 * alone, append its directory with a comma; the last result counts.
 */
final class Table {
    /** Ginkgo's name of one test begins with this, unlike those of its set-up steps. */
    private static final String TEST = "[It] ";

    private Table() {}

    public static void main(String[] arguments) throws Exception {
        if (arguments.length == 0 || !arguments[0].contains("=")) {
            System.err.println("usage: java deploy/e2e/Table.java NAME=DIRECTORY[,DIRECTORY...] ...");
            System.exit(2);
        }
        Map<String, Map<String, String>> runs = new LinkedHashMap<>();
        for (String argument : arguments) {
            int equals = argument.indexOf('=');
            Map<String, String> results = new TreeMap<>();
            for (String directory : argument.substring(equals + 1).split(",")) {
                results.putAll(results(Path.of(directory, "junit.xml")));
            }
            runs.put(argument.substring(0, equals), results);
        }
        System.out.print(table(runs));
    }

    /** The result of each test that ran, by its name without labels. */
    private static Map<String, String> results(Path file) throws Exception {
        Map<String, String> results = new TreeMap<>();
        try (InputStream input = open(file)) {
            var cases = DocumentBuilderFactory.newInstance()
                    .newDocumentBuilder()
                    .parse(input)
                    .getElementsByTagName("testcase");
            for (int i = 0; i < cases.getLength(); i++) {
                Element test = (Element) cases.item(i);
                String status = test.getAttribute("status");
                if (test.getAttribute("name").startsWith(TEST) && !status.equals("skipped")) {
                    results.put(shortName(test.getAttribute("name")), status);
                }
            }
        }
        return results;
    }

    private static InputStream open(Path file) throws IOException {
        if (!Files.isReadable(file)) {
            System.err.println("Table: no results in " + file + "; run deploy/e2e/suite first");
            System.exit(2);
        }
        return Files.newInputStream(file);
    }

    /** Without {@code [It] [sig-network]} in front, and labels such as {@code [Conformance]} elsewhere. */
    private static String shortName(String name) {
        return name.substring(TEST.length()).replaceAll("\\s*\\[[^\\]]*]", "").strip();
    }

    private static String table(Map<String, Map<String, String>> runs) {
        Map<String, Integer> names = new TreeMap<>();
        runs.values().forEach(results -> results.keySet().forEach(name -> names.merge(name, 1, Integer::sum)));
        StringBuilder table = new StringBuilder();
        table.append("| test | ").append(String.join(" | ", runs.keySet())).append(" |\n");
        table.append("|---".repeat(runs.size() + 1)).append("|\n");
        table.append(row("**passed**", runs, results -> count(results, true)));
        table.append(row("**failed**", runs, results -> count(results, false)));
        for (String name : names.keySet()) {
            table.append(row(name.replace("|", "\\|"), runs, results -> results.getOrDefault(name, "–")));
        }
        return table.toString();
    }

    private static String row(
            String title,
            Map<String, Map<String, String>> runs,
            java.util.function.Function<Map<String, String>, String> cell) {
        return runs.values().stream().map(cell).collect(Collectors.joining(" | ", "| " + title + " | ", " |\n"));
    }

    private static String count(Map<String, String> results, boolean passed) {
        return Long.toString(results.values().stream()
                .filter(status -> status.equals("passed") == passed)
                .count());
    }
}
