package io.sluice.compare;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** Holds the measurements so far and computes medians and ratios. */
final class Results {
    /**
     * One measurement of one contestant.
     *
     * @param counts false if the measurement failed or the test network was overloaded
     */
    record Run(
            Workload work,
            int round,
            Contestant contestant,
            List<Figure> figures,
            long synRetransmits,
            boolean counts,
            String problem) {}

    /** Median and range of several measurements. */
    record Summary(double median, double min, double max, int count) {
        static Summary of(List<Double> values) {
            List<Double> sorted = values.stream().sorted().toList();
            int n = sorted.size();
            double median = (sorted.get((n - 1) / 2) + sorted.get(n / 2)) / 2;
            return new Summary(median, sorted.get(0), sorted.get(n - 1), n);
        }
    }

    final List<Run> runs = new ArrayList<>();

    /** All figures by name, each with one measured value for its unit. */
    Map<String, Figure> figures() {
        Map<String, Figure> all = new LinkedHashMap<>();
        runs.forEach(run -> run.figures.forEach(figure -> all.putIfAbsent(figure.name(), figure)));
        return all;
    }

    List<Contestant> contestants() {
        return Stream.of(Contestant.values())
                .filter(each -> runs.stream().anyMatch(run -> run.contestant == each))
                .toList();
    }

    /** The values of one figure and contestant by round. */
    private Map<Integer, Double> values(String figure, Contestant contestant) {
        Map<Integer, Double> values = new LinkedHashMap<>();
        for (Run run : runs) {
            if (run.contestant == contestant && run.counts) {
                for (Figure each : run.figures) {
                    if (each.name().equals(figure)) {
                        values.put(run.round, each.value());
                    }
                }
            }
        }
        return values;
    }

    /** Returns one summary, or an empty list if there is no valid measurement. */
    List<Summary> summary(String figure, Contestant contestant) {
        List<Double> values = List.copyOf(values(figure, contestant).values());
        return values.isEmpty() ? List.of() : List.of(Summary.of(values));
    }

    /**
     * Summarizes the ratios of the rounds in which both measurements are valid. Within a round, other load on the
     * machine affects both.
     */
    List<Summary> ratio(String figure, Contestant contestant, Contestant peer) {
        Map<Integer, Double> peers = values(figure, peer);
        List<Double> ratios = new ArrayList<>();
        values(figure, contestant).forEach((round, value) -> {
            double other = peers.getOrDefault(round, 0.0);
            if (other > 0) {
                ratios.add(value / other);
            }
        });
        return ratios.isEmpty() ? List.of() : List.of(Summary.of(ratios));
    }
}
