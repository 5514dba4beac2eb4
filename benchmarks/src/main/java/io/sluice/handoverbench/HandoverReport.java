package io.sluice.handoverbench;

import io.sluice.handoverbench.ClientProcess.Window;
import io.sluice.handoverbench.HandoverResults.Handover;
import io.sluice.handoverbench.HandoverResults.Target;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/** Formats the results as tables for the terminal and as JSON. */
final class HandoverReport {
    private static final List<String> COLUMNS = List.of(
            "handover",
            "serving ms",
            "old exited ms",
            "moved",
            "lost",
            "pause p50",
            "p99",
            "max",
            "max before",
            "gap max",
            "new",
            "failed",
            "new max ms",
            "UDP max ms",
            "stall ms",
            "descriptors",
            "RSS MB",
            "heap MB");

    private HandoverReport() {}

    static String table(List<Handover> handovers) {
        List<List<String>> rows = new ArrayList<>();
        rows.add(COLUMNS);
        handovers.forEach(each -> rows.add(row(each)));
        int[] widths = new int[COLUMNS.size()];
        for (List<String> row : rows) {
            for (int i = 0; i < widths.length; i++) {
                widths[i] = Math.max(widths[i], row.get(i).length());
            }
        }
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < rows.size(); i++) {
            text.append(line(rows.get(i), widths));
            if (i == 0) {
                text.append("|---".repeat(widths.length)).append("|\n");
            }
        }
        return text.toString();
    }

    private static String line(List<String> row, int[] widths) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < widths.length; i++) {
            text.append("| ")
                    .append(" ".repeat(widths[i] - row.get(i).length()))
                    .append(row.get(i))
                    .append(' ');
        }
        return text.append("|\n").toString();
    }

    private static List<String> row(Handover handover) {
        Window during = handover.during();
        boolean measured = during.pauses().active() > 0;
        return List.of(
                String.valueOf(handover.number()),
                whole(handover.servingMillis()),
                whole(handover.exitedMillis()),
                String.valueOf(handover.moved()),
                String.valueOf(handover.lost()),
                measured ? tenths(during.pauses().p50Millis()) : "-",
                measured ? tenths(during.pauses().p99Millis()) : "-",
                measured ? tenths(during.pauses().maxMillis()) : "-",
                handover.before().pauses().active() > 0
                        ? tenths(handover.before().pauses().maxMillis())
                        : "-",
                measured ? tenths(during.specialGapMillis()) : "-",
                String.valueOf(during.connects().replied()),
                String.valueOf(during.connects().failed()),
                tenths(during.connects().maxMillis()),
                tenths(during.udp().maxMillis()),
                tenths(during.latenessMillis()),
                String.valueOf(handover.sample().descriptors()),
                whole(handover.sample().residentMegabytes()),
                whole(handover.sample().heapMegabytes()));
    }

    static String verdict(List<Target> targets) {
        StringBuilder text = new StringBuilder("| target | result | observed |\n|---|---|---|\n");
        for (Target target : targets) {
            text.append("| %s | %s | %s |\n"
                    .formatted(target.name(), target.reached() ? "PASS" : "**FAIL**", target.observed()));
        }
        return text.toString();
    }

    static void write(Path file, LoadPlan plan, HandoverResults results, List<Target> targets, List<String> faults)
            throws IOException {
        Map<String, Object> all = new LinkedHashMap<>();
        all.put("processors", Runtime.getRuntime().availableProcessors());
        all.put("kernel", System.getProperty("os.version"));
        all.put("java", Runtime.version().toString());
        all.put("plan", plan);
        all.put("handovers", results.handovers);
        all.put("targets", targets);
        all.put("faults", faults);
        Files.writeString(
                file,
                JsonMapper.builder()
                        .enable(SerializationFeature.INDENT_OUTPUT)
                        .build()
                        .writeValueAsString(all));
    }

    private static String whole(double value) {
        return "%.0f".formatted(value);
    }

    private static String tenths(double value) {
        return "%.1f".formatted(value);
    }
}
