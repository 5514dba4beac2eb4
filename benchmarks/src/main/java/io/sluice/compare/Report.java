package io.sluice.compare;

import io.sluice.compare.Results.Run;
import io.sluice.compare.Results.Summary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/** Writes the results so far: all measurements as JSON, medians and ratios as Markdown, a chart per figure. */
final class Report {
    private final Results results;
    private final Path out;
    private final Map<String, String> machine;
    private final int rounds;
    private final double seconds;

    Report(Results results, Path out, Map<String, String> machine, int rounds, double seconds) {
        this.results = results;
        this.out = out;
        this.machine = machine;
        this.rounds = rounds;
        this.seconds = seconds;
    }

    void write() throws IOException {
        Files.createDirectories(out);
        Files.writeString(out.resolve("compare.json"), json());
        Files.writeString(out.resolve("compare.md"), markdown());
        for (Figure figure : results.figures().values()) {
            if (!figure.isSystemCall() && figure.better() != Figure.Better.NEITHER) {
                String name = figure.name().toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9.-]+", "-") + ".svg";
                Files.writeString(out.resolve(name), Chart.draw(results, figure));
            }
        }
    }

    private String json() {
        Map<String, Object> all = new LinkedHashMap<>();
        all.put("machine", machine);
        all.put("rounds", rounds);
        all.put("secondsOfEachTurn", seconds);
        all.put("runs", results.runs);
        List<Object> summaries = new ArrayList<>();
        for (Figure figure : results.figures().values()) {
            for (Contestant contestant : results.contestants()) {
                Map<String, Object> row = new LinkedHashMap<>();
                results.summary(figure.name(), contestant).forEach(summary -> {
                    row.put("figure", figure.name());
                    row.put("unit", figure.unit());
                    row.put("contestant", contestant.label);
                    row.put("summary", summary);
                    Map<String, Summary> ratios = new LinkedHashMap<>();
                    for (Contestant peer : contestant.peers()) {
                        results.ratio(figure.name(), contestant, peer).forEach(ratio -> ratios.put(peer.label, ratio));
                    }
                    row.put("ratios", ratios);
                    summaries.add(row);
                });
            }
        }
        all.put("summaries", summaries);
        return JsonMapper.builder()
                .enable(SerializationFeature.INDENT_OUTPUT)
                .build()
                .writeValueAsString(all);
    }

    private String markdown() {
        StringBuilder text = new StringBuilder("# Sluice compared with its peers\n\n");
        text.append("%d rounds of %s s, contestants in alternating order; medians (min–max). "
                .formatted(rounds, number(seconds)));
        text.append("Compare ratios only. Each is the median of the ratios of all rounds.\n\n");
        table(text, "Figures", results.contestants(), true);
        for (Contestant contestant : results.contestants()) {
            if (!contestant.peers().isEmpty()) {
                ratios(text, contestant);
            }
        }
        table(text, "System calls per operation", results.contestants(), false);
        List<Run> out = results.runs.stream().filter(run -> !run.counts()).toList();
        if (!out.isEmpty()) {
            text.append("## Discarded measurements\n\n");
            out.forEach(run -> text.append("- %s, round %d, %s: %s\n"
                    .formatted(
                            run.work().label,
                            run.round(),
                            run.contestant().label,
                            run.problem().lines().findFirst().orElse(""))));
            text.append('\n');
        }
        text.append("## Machine and versions\n\n");
        machine.forEach((name, value) -> text.append("- %s: %s\n".formatted(name, value)));
        results.contestants().forEach(each -> text.append("- %s: %s\n".formatted(each.label, each.description)));
        return text.toString();
    }

    private void table(StringBuilder text, String title, List<Contestant> columns, boolean main) {
        List<Figure> rows = results.figures().values().stream()
                .filter(figure -> figure.isSystemCall() != main)
                .toList();
        if (rows.isEmpty()) {
            return;
        }
        text.append("## ").append(title).append("\n\n");
        header(text, columns.stream().map(each -> each.label));
        for (Figure figure : rows) {
            text.append("| %s, %s |".formatted(figure.name(), figure.unit()));
            for (Contestant contestant : columns) {
                text.append(" %s |"
                        .formatted(results.summary(figure.name(), contestant).stream()
                                .map(Report::format)
                                .findFirst()
                                .orElse("–")));
            }
            text.append('\n');
        }
        text.append('\n');
    }

    private void ratios(StringBuilder text, Contestant contestant) {
        List<Contestant> peers = contestant.peers().stream()
                .filter(results.contestants()::contains)
                .toList();
        text.append("## ").append(contestant.label).append(", ratio to each peer\n\n");
        header(text, Stream.concat(Stream.of("which is better"), peers.stream().map(each -> each.label)));
        for (Figure figure : results.figures().values()) {
            if (figure.isSystemCall() || figure.better() == Figure.Better.NEITHER) {
                continue;
            }
            text.append("| %s | %s |"
                    .formatted(figure.name(), figure.better().name().toLowerCase(Locale.ROOT)));
            for (Contestant peer : peers) {
                text.append(" %s |"
                        .formatted(results.ratio(figure.name(), contestant, peer).stream()
                                .map(Report::format)
                                .findFirst()
                                .orElse("–")));
            }
            text.append('\n');
        }
        text.append('\n');
    }

    private static void header(StringBuilder text, Stream<String> columns) {
        List<String> all = columns.toList();
        text.append("| |").append(String.join("|", all)).append("|\n|---|").append("---|".repeat(all.size()));
        text.append('\n');
    }

    private static String format(Summary summary) {
        return summary.count() == 1
                ? number(summary.median())
                : "**%s** (%s–%s)".formatted(number(summary.median()), number(summary.min()), number(summary.max()));
    }

    /** Formats a number with three significant digits. */
    static String number(double value) {
        double size = Math.abs(value);
        String pattern = size >= 100 || value == Math.rint(value) ? "%,.0f" : size >= 10 ? "%.1f" : "%.2f";
        return String.format(Locale.ROOT, pattern, value);
    }
}
