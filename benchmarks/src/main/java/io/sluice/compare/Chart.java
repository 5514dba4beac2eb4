package io.sluice.compare;

import io.sluice.compare.Results.Summary;
import java.util.List;
import java.util.Locale;

/**
 * Draws a figure as SVG: a bar for each contestant's median, a line from minimum to maximum, and the ratio to the
 * baseline if there is one.
 */
final class Chart {
    private static final int LEFT = 130;
    private static final int BARS = 420;
    private static final int ROW = 26;
    private static final int TOP = 40;
    private static final int RIGHT = 80;
    private static final int RIGHT_WITH_RATIO = 270;

    private Chart() {}

    static String draw(Results results, Figure figure) {
        List<Contestant> rows = results.contestants().stream()
                .filter(each -> !results.summary(figure.name(), each).isEmpty())
                .toList();
        double max = rows.stream()
                .mapToDouble(each -> results.summary(figure.name(), each).get(0).max())
                .max()
                .orElse(1);
        boolean hasRatio = rows.stream()
                .anyMatch(each -> !ratioToBaseline(results, figure, each).isEmpty());
        int right = hasRatio ? RIGHT_WITH_RATIO : RIGHT;
        double scale = BARS / Math.max(max, 1e-9);
        StringBuilder svg = new StringBuilder();
        svg.append(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n"
                        .formatted(LEFT + BARS + right, TOP + ROW * rows.size() + 10));
        svg.append("<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n");
        svg.append("<text x=\"10\" y=\"22\" font-weight=\"bold\">%s, %s (%s is better)</text>\n"
                .formatted(figure.name(), figure.unit(), figure.better().name().toLowerCase(Locale.ROOT)));
        int y = TOP;
        for (Contestant contestant : rows) {
            Summary summary = results.summary(figure.name(), contestant).get(0);
            long width = Math.round(Math.max(0, summary.median()) * scale);
            long low = LEFT + Math.round(Math.max(0, summary.min()) * scale);
            long high = LEFT + Math.round(Math.max(0, summary.max()) * scale);
            int middle = y + ROW / 2 - 3;
            svg.append("<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n"
                    .formatted(LEFT - 8, middle + 4, contestant.label));
            svg.append("<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\"/>\n"
                    .formatted(LEFT, y, width, ROW - 6, contestant.isSluice() ? "#2b6cb0" : "#a0aec0"));
            svg.append("<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"#1a202c\"/>\n"
                    .formatted(low, middle, high, middle));
            svg.append("<text x=\"%d\" y=\"%d\">%s%s</text>\n"
                    .formatted(
                            Math.max(high, LEFT + width) + 6,
                            middle + 4,
                            Report.number(summary.median()),
                            ratioToBaseline(results, figure, contestant)));
            y += ROW;
        }
        return svg.append("</svg>\n").toString();
    }

    private static String ratioToBaseline(Results results, Figure figure, Contestant contestant) {
        for (Contestant peer : contestant.peers()) {
            List<Summary> ratio = results.ratio(figure.name(), contestant, peer);
            if (peer.isBaseline() && !ratio.isEmpty()) {
                Summary of = ratio.get(0);
                return ", %s (%s–%s) × %s"
                        .formatted(
                                Report.number(of.median()),
                                Report.number(of.min()),
                                Report.number(of.max()),
                                peer.label);
            }
        }
        return "";
    }
}
