package io.sluice.rules;

import static java.util.Objects.requireNonNull;

import io.sluice.model.Family;
import io.sluice.model.FrontendAddress;
import io.sluice.model.ServicePortName;
import io.sluice.objects.ServiceKey;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The graph of Services whose endpoints are frontends of other Services. Excludes links that are part of a cycle, in
 * which traffic would loop, and links that make a chain of Services too long. Confined to one thread.
 *
 * <p>Such endpoints are rare, so each change reevaluates the whole graph, in time linear in its size.
 */
final class EndpointChains {
    /** Maximum number of links (hops from Service to Service) that a connection may follow. */
    static final int MAX_DEPTH = 3;

    /** Length of the longest cycle for which a message lists every Service. */
    private static final int MAX_REPORTED_CYCLE = 8;

    private final Map<ServiceKey, Set<Link>> links = new HashMap<>();
    private Map<Link, String> excluded = Map.of();
    private boolean changed;

    /** A service port in one IP family. Forwarding never changes the family. */
    private record Node(ServicePortName port, Family family) implements Comparable<Node> {
        private static final Comparator<Node> ORDER = Comparator.comparing(Node::toString)
                .thenComparing(Node::family)
                .thenComparing(node -> node.port().protocol());

        @Override
        public int compareTo(Node other) {
            return ORDER.compare(this, other);
        }

        @Override
        public String toString() {
            return port.toString();
        }
    }

    /** An endpoint of one service port that is also a frontend of another service port, or of the same one. */
    record Link(ServicePortName from, FrontendAddress endpoint, ServicePortName owner) {
        private Node source() {
            return new Node(from, endpoint.address().family());
        }

        private Node target() {
            return new Node(owner, endpoint.address().family());
        }
    }

    void replace(ServiceKey service, Set<Link> now) {
        Set<Link> before = now.isEmpty() ? links.remove(service) : links.put(service, Set.copyOf(now));
        changed |= !now.equals(before == null ? Set.of() : before);
    }

    /** The reason why a link's endpoint is excluded; null if it is not excluded. */
    @Nullable
    String exclusionReason(Link link) {
        return excluded.get(link);
    }

    Set<Link> linksOf(ServiceKey service) {
        return links.getOrDefault(service, Set.of());
    }

    /** Evaluates all links if any has changed. Returns the Services for whose links the result has changed. */
    Set<ServiceKey> evaluate() {
        if (!changed) {
            return Set.of();
        }
        changed = false;
        Map<Link, String> before = excluded;
        excluded = new Graph(links.values()).excluded();
        return Stream.concat(before.keySet().stream(), excluded.keySet().stream())
                .filter(link -> !Objects.equals(before.get(link), excluded.get(link)))
                .map(link -> new ServiceKey(link.from().namespace(), link.from().service()))
                .collect(Collectors.toSet());
    }

    /** One evaluation of all links. Sorts its input, so that the same links always produce the same messages. */
    private static final class Graph {
        private final Map<Node, Set<Node>> next = new TreeMap<>();
        private final Map<Node, Set<Node>> previous = new TreeMap<>();
        private final List<Link> links = new ArrayList<>();
        /** The strongly connected component of each node: all nodes that it reaches and that reach it. */
        private final Map<Node, List<Node>> cycleOf = new HashMap<>();
        /** Maximum number of links that a connection to a node follows. */
        private final Map<Node, Integer> depths = new HashMap<>();

        Graph(Collection<Set<Link>> all) {
            all.forEach(links::addAll);
            for (Link link : links) {
                add(next, link.source(), link.target());
                add(previous, link.target(), link.source());
            }
        }

        private void add(Map<Node, Set<Node>> edges, Node from, Node to) {
            edges.computeIfAbsent(from, node -> new TreeSet<>()).add(to);
        }

        private static Set<Node> to(Map<Node, Set<Node>> edges, Node from) {
            return edges.getOrDefault(from, Set.of());
        }

        Map<Link, String> excluded() {
            // Kosaraju's algorithm: a backward search from the last node to finish finds the nodes on a cycle with it.
            List<Node> finished = new ArrayList<>();
            Set<Node> seen = new HashSet<>();
            next.keySet().forEach(node -> visit(node, next, seen, finished));
            seen.clear();
            for (int i = finished.size() - 1; i >= 0; i--) {
                List<Node> cycle = new ArrayList<>();
                visit(finished.get(i), previous, seen, cycle);
                cycle.forEach(node -> cycleOf.put(node, cycle));
            }
            // A node finishes after all nodes that it reaches, except those on a cycle with it.
            finished.forEach(node -> depths.put(
                    node,
                    to(next, node).stream()
                            .filter(each -> isFollowed(node, each))
                            .mapToInt(each -> depth(each) + 1)
                            .max()
                            .orElse(0)));
            Map<Link, String> excluded = new HashMap<>();
            for (Link link : links) {
                if (!isFollowed(link.source(), link.target())) {
                    excluded.put(link, why(link));
                }
            }
            return excluded;
        }

        /** Depth-first search without recursion: appends each new node after all nodes that it reaches. */
        private static void visit(Node start, Map<Node, Set<Node>> edges, Set<Node> seen, List<Node> finished) {
            record Step(Node node, Iterator<Node> rest) {}
            if (!seen.add(start)) {
                return;
            }
            Deque<Step> path = new ArrayDeque<>();
            path.push(new Step(start, to(edges, start).iterator()));
            while (!path.isEmpty()) {
                Step step = path.element();
                if (!step.rest().hasNext()) {
                    finished.add(path.pop().node());
                    continue;
                }
                Node node = step.rest().next();
                if (seen.add(node)) {
                    path.push(new Step(node, to(edges, node).iterator()));
                }
            }
        }

        private boolean onOneCycle(Node from, Node to) {
            return cycleOf.get(from) == cycleOf.get(to);
        }

        private int depth(Node node) {
            return depths.getOrDefault(node, 0);
        }

        private boolean isFollowed(Node from, Node to) {
            return !onOneCycle(from, to) && depth(to) < MAX_DEPTH;
        }

        private String why(Link link) {
            Node from = link.source();
            Node to = link.target();
            if (!onOneCycle(from, to)) {
                return "the chain of Services would have more than " + MAX_DEPTH + " hops: " + from + " -> "
                        + text(deepest(to));
            }
            int size = requireNonNull(cycleOf.get(from)).size();
            return "traffic would loop: " + from + " -> "
                    + (size <= MAX_REPORTED_CYCLE
                            ? text(pathOnCycle(to, from))
                            : to + " -> ... -> " + from + " (" + size + " Services)");
        }

        private static String text(Collection<Node> path) {
            return path.stream().map(Node::toString).collect(Collectors.joining(" -> "));
        }

        /**
         * A shortest path between two nodes on the same cycle, so that the message names as few Services as possible.
         */
        private Collection<Node> pathOnCycle(Node from, Node to) {
            Map<Node, Node> reachedFrom = new HashMap<>();
            Deque<Node> queue = new ArrayDeque<>(List.of(from));
            while (!queue.isEmpty() && !from.equals(to) && !reachedFrom.containsKey(to)) {
                Node node = queue.remove();
                for (Node each : to(next, node)) {
                    if (onOneCycle(each, from) && reachedFrom.putIfAbsent(each, node) == null) {
                        queue.add(each);
                    }
                }
            }
            Deque<Node> path = new ArrayDeque<>(List.of(to));
            while (!path.element().equals(from)) {
                path.push(requireNonNull(reachedFrom.get(path.element())));
            }
            return path;
        }

        private Set<Node> deepest(Node from) {
            Set<Node> path = new LinkedHashSet<>(Set.of(from));
            Node last = from;
            while (depth(last) > 0) {
                Node node = last;
                last = to(next, node).stream()
                        .filter(each -> isFollowed(node, each) && depth(each) == depth(node) - 1)
                        .findFirst()
                        .orElseThrow();
                path.add(last);
            }
            return path;
        }
    }
}
