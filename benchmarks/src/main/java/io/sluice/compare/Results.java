package io.sluice.compare;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** What was measured so far, and what follows from it. */
final class Results {
    /**
     * One contestant's turn.
     *
     * @param counts whether the bench was not at its end
     */
    record Run(
            Work work,
            int round,
            Contestant contestant,
            List<Figure> figures,
            long synRetransmits,
            boolean counts,
            String problem) {}

    /** Of several turns. */
    record Summary(double median, double min, double max, int count) {
        static Summary of(List<Double> values) {
            List<Double> sorted = values.stream().sorted().toList();
            int n = sorted.size();
            double median = (sorted.get((n - 1) / 2) + sorted.get(n / 2)) / 2;
            return new Summary(median, sorted.get(0), sorted.get(n - 1), n);
        }
    }

    final List<Run> runs = new ArrayList<>();

    /** Every figure there is, with an example for its unit. */
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

    /** By round. */
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

    /** Nothing, or one. */
    List<Summary> summary(String figure, Contestant contestant) {
        List<Double> values = List.copyOf(values(figure, contestant).values());
        return values.isEmpty() ? List.of() : List.of(Summary.of(values));
    }

    /** The ratios of each round in which both counted: what the machine did meanwhile, it did to both. */
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
