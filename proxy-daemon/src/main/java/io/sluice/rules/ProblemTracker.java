package io.sluice.rules;

import io.sluice.document.Problem;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The problems there are now, by who found them. What comes and goes between two calls of {@link #publish} is never
 * told; what stays is told once.
 */
public final class ProblemTracker {
    private static final Comparator<Problem> ORDER = Comparator.comparing(Problem::source)
            .thenComparing(Problem::object)
            .thenComparing(Problem::field)
            .thenComparing(Problem::message)
            .thenComparing(Problem::severity);

    private final Map<Object, List<Problem>> byFinder = new HashMap<>();
    private final Map<Problem, Integer> counts = new HashMap<>();
    private final Set<Problem> touched = new LinkedHashSet<>();
    private final Set<Problem> told = new LinkedHashSet<>();
    private List<Problem> published = List.of();

    /** Replaces what the finder (a source, an object, a service) has found. */
    public void put(Object finder, List<Problem> problems) {
        List<Problem> before =
                problems.isEmpty() ? byFinder.remove(finder) : byFinder.put(finder, List.copyOf(problems));
        if (before != null) {
            before.forEach(problem -> count(problem, -1));
        }
        problems.forEach(problem -> count(problem, 1));
    }

    private void count(Problem problem, int change) {
        counts.merge(problem, change, (a, b) -> a + b == 0 ? null : a + b);
        touched.add(problem);
    }

    /** Tells what has changed since the last time; returns all problems in order. */
    public List<Problem> publish(Listener listener) {
        List<Problem> changed = new ArrayList<>();
        for (Problem problem : touched) {
            if (counts.containsKey(problem) ? told.add(problem) : told.remove(problem)) {
                changed.add(problem);
            }
        }
        touched.clear();
        if (!changed.isEmpty()) {
            published = told.stream().sorted(ORDER).toList();
            changed.sort(ORDER);
            changed.forEach(problem -> listener.changed(problem, told.contains(problem)));
        }
        return published;
    }

    /** Called on the control thread; must not block. */
    @FunctionalInterface
    public interface Listener {
        void changed(Problem problem, boolean appeared);
    }
}
