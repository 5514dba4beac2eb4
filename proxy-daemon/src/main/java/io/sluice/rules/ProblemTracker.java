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
 * Tracks the current problems by origin and reports each change once. A problem that appears and disappears between two
 * calls of {@link #publish} is not reported. Confined to one thread.
 */
public final class ProblemTracker {
    private static final Comparator<Problem> ORDER = Comparator.comparing(Problem::source)
            .thenComparing(Problem::object)
            .thenComparing(Problem::field)
            .thenComparing(Problem::message)
            .thenComparing(Problem::severity);

    private final Map<Object, List<Problem>> byOrigin = new HashMap<>();
    private final Map<Problem, Integer> counts = new HashMap<>();
    private final Set<Problem> touched = new LinkedHashSet<>();
    private final Set<Problem> reported = new LinkedHashSet<>();
    private List<Problem> published = List.of();

    /** Replaces the problems recorded for one origin, such as a feed source, an object key or a Service. */
    public void put(Object origin, List<Problem> problems) {
        List<Problem> before =
                problems.isEmpty() ? byOrigin.remove(origin) : byOrigin.put(origin, List.copyOf(problems));
        if (before != null) {
            before.forEach(problem -> count(problem, -1));
        }
        problems.forEach(problem -> count(problem, 1));
    }

    private void count(Problem problem, int change) {
        counts.merge(problem, change, (a, b) -> a + b == 0 ? null : a + b);
        touched.add(problem);
    }

    /** Reports to the listener all changes since the last call. Returns all current problems, sorted. */
    public List<Problem> publish(Listener listener) {
        List<Problem> changed = new ArrayList<>();
        for (Problem problem : touched) {
            if (counts.containsKey(problem) ? reported.add(problem) : reported.remove(problem)) {
                changed.add(problem);
            }
        }
        touched.clear();
        if (!changed.isEmpty()) {
            published = reported.stream().sorted(ORDER).toList();
            changed.sort(ORDER);
            changed.forEach(problem -> listener.changed(problem, reported.contains(problem)));
        }
        return published;
    }

    /** Receives problems that have appeared or disappeared. */
    @FunctionalInterface
    public interface Listener {
        /** Called on the control thread; must not block. */
        void changed(Problem problem, boolean appeared);
    }
}
