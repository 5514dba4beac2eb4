package io.sluice.ops;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The metrics in {@code deploy/docs/metrics.md}.
 *
 * @param types type of each metric
 * @param reasons metrics that are counted by reason, each followed by a blank and one of its reasons
 */
public record MetricsDocument(Map<String, String> types, Set<String> reasons) {
    /** A row that describes one or more metrics and begins with their names and their type. */
    private static final Pattern METRICS =
            Pattern.compile("(?m)^\\| (`\\w+`(?:, `\\w+`)*) \\| (counter|gauge|histogram) \\|");

    private static final Pattern NAME = Pattern.compile("`(\\w+)`");

    /** A row of the table of reasons; the metric is omitted if it is that of the row above. */
    private static final Pattern REASON = Pattern.compile("(?m)^\\| (?:`(\\w+)` )?\\| `(\\w+)` \\|");

    /** Reads the document without the list of former names at its end. */
    public static MetricsDocument read() throws IOException {
        String document = Files.readString(Path.of("../deploy/docs/metrics.md"));
        String described = document.substring(0, document.indexOf("## Changed names"));
        Map<String, String> types = new TreeMap<>();
        for (Matcher row = METRICS.matcher(described); row.find(); ) {
            for (Matcher name = NAME.matcher(row.group(1)); name.find(); ) {
                types.put(name.group(1), row.group(2));
            }
        }
        Set<String> reasons = new HashSet<>();
        String metric = "";
        for (Matcher row = REASON.matcher(described); row.find(); ) {
            metric = Objects.requireNonNullElse(row.group(1), metric);
            reasons.add(metric + " " + row.group(2));
        }
        return new MetricsDocument(types, reasons);
    }
}
