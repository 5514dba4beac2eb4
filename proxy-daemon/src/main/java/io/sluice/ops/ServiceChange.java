package io.sluice.ops;

import io.sluice.model.Cidr;
import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Origin;
import io.sluice.model.ServicePort;
import io.sluice.model.TrafficPolicy;
import io.sluice.rules.PolicyKey;
import io.sluice.text.Table;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The change of one Service between two applied snapshots, and its description. The description is created only when it
 * is needed, because a change of the node may affect all Services.
 *
 * @param service {@code namespace/name}
 * @param ports the ports that were added, removed or changed
 */
record ServiceChange(String service, Instant time, Kind kind, List<PortChange> ports) {
    private static final int MAX_NAMED = 5;
    private static final Comparator<Endpoint> ENDPOINTS =
            Comparator.comparing(Endpoint::address).thenComparing(Endpoint::port);
    private static final Comparator<FrontendAddress> ADDRESSES = Comparator.comparing(FrontendAddress::address)
            .thenComparing(FrontendAddress::port)
            .thenComparing(FrontendAddress::protocol);

    /** What happened to the whole Service. */
    enum Kind {
        ADDED,
        REMOVED,
        CHANGED
    }

    /**
     * The change of one port.
     *
     * @param before null if the port was added
     * @param after null if the port was removed
     */
    record PortChange(
            @Nullable ServicePort before, @Nullable ServicePort after) {}

    /** The description, such as {@code -1 endpoint 10.1.2.3:8080; session affinity ClientIP 3h}. */
    String text() {
        Set<FrontendAddress> addressesBefore = new HashSet<>();
        Set<FrontendAddress> addressesAfter = new HashSet<>();
        Set<Endpoint> endpointsAdded = new HashSet<>();
        Set<Endpoint> endpointsRemoved = new HashSet<>();
        List<String> withoutEndpoints = new ArrayList<>();
        for (PortChange port : ports) {
            addressesBefore.addAll(addresses(port.before()));
            addressesAfter.addAll(addresses(port.after()));
            Set<Endpoint> before = endpoints(port.before());
            Set<Endpoint> after = endpoints(port.after());
            endpointsAdded.addAll(difference(after, before));
            endpointsRemoved.addAll(difference(before, after));
            if (port.after() != null && after.isEmpty() && !before.isEmpty()) {
                withoutEndpoints.add(port.after().name().port());
            }
        }
        if (kind == Kind.REMOVED) {
            return "removed";
        }
        if (kind == Kind.ADDED) {
            return "added, " + Table.count(addressesAfter.size(), "address") + ", "
                    + Table.count(endpointsAdded.size(), "endpoint");
        }
        List<String> parts = new ArrayList<>();
        addPart(parts, "-", "port", portNames(true));
        addPart(parts, "+", "port", portNames(false));
        addPart(parts, "-", "address", sorted(difference(addressesBefore, addressesAfter), ADDRESSES));
        addPart(parts, "+", "address", sorted(difference(addressesAfter, addressesBefore), ADDRESSES));
        addPart(parts, "-", "endpoint", sorted(endpointsRemoved, ENDPOINTS));
        addPart(parts, "+", "endpoint", sorted(endpointsAdded, ENDPOINTS));
        withoutEndpoints.forEach(name -> parts.add("no endpoints left" + (name.isEmpty() ? "" : " for port " + name)));
        addSettings(parts);
        return parts.isEmpty() ? routes() : String.join("; ", parts);
    }

    /** Describes a change of neither addresses, endpoints nor settings, such as another traffic policy. */
    private String routes() {
        boolean sameFrontends = ports.stream()
                .allMatch(port -> port.before() != null
                        && port.after() != null
                        && port.before().frontends().equals(port.after().frontends()));
        boolean samePreference = ports.stream()
                .allMatch(port -> port.before() != null
                        && port.after() != null
                        && port.before()
                                .preferredEndpoints()
                                .equals(port.after().preferredEndpoints()));
        if (!sameFrontends) {
            return "routes changed";
        }
        return samePreference
                ? "endpoints of established connections and flows changed"
                : "preferred endpoints changed";
    }

    /** Names of the removed or the added ports of a Service that has other ports. */
    private List<String> portNames(boolean removed) {
        return ports.stream()
                .filter(port -> (removed ? port.after() : port.before()) == null)
                .map(port -> removed ? port.before() : port.after())
                .flatMap(Stream::ofNullable)
                .map(port -> port.name().port().isEmpty()
                        ? "without a name"
                        : port.name().port())
                .sorted()
                .toList();
    }

    private void addSettings(List<String> parts) {
        Set<String> settings = new LinkedHashSet<>();
        for (PortChange port : ports) {
            if (port.before() == null || port.after() == null) {
                continue;
            }
            if (!port.before().affinity().equals(port.after().affinity())) {
                String affinity = ServiceTable.affinity(port.after().affinity());
                settings.add("session affinity " + (affinity.equals("-") ? "None" : affinity));
            }
            addPolicy(settings, port.before().policy(), port.after().policy());
            Map<FrontendAddress, List<Cidr>> ranges = new HashMap<>();
            port.before().frontends().forEach(frontend -> ranges.put(frontend.address(), frontend.allowedSources()));
            for (Frontend frontend : port.after().frontends()) {
                List<Cidr> before = ranges.getOrDefault(frontend.address(), frontend.allowedSources());
                if (!before.equals(frontend.allowedSources())) {
                    settings.add(
                            frontend.allowedSources().isEmpty()
                                    ? "no source ranges"
                                    : "source ranges " + named(frontend.allowedSources()));
                }
            }
        }
        parts.addAll(settings);
    }

    private static void addPolicy(Set<String> settings, TrafficPolicy before, TrafficPolicy after) {
        for (PolicyKey<?> key : PolicyKey.values()) {
            String text = key.textIn(after);
            // Source ranges are described by frontend.
            if (key != PolicyKey.SOURCE_RANGES && !text.equals(key.textIn(before))) {
                settings.add(key + " " + text);
            }
        }
    }

    private static void addPart(List<String> parts, String sign, String what, List<?> changed) {
        if (!changed.isEmpty()) {
            parts.add(sign + Table.count(changed.size(), what) + " " + named(changed));
        }
    }

    private static String named(List<?> all) {
        String first = all.stream().limit(MAX_NAMED).map(String::valueOf).collect(Collectors.joining(", "));
        return all.size() > MAX_NAMED ? first + " and " + (all.size() - MAX_NAMED) + " more" : first;
    }

    private static <T> Set<T> difference(Set<T> all, Set<T> without) {
        Set<T> rest = new HashSet<>(all);
        without.forEach(rest::remove);
        return rest;
    }

    private static <T> List<T> sorted(Collection<T> all, Comparator<T> order) {
        return all.stream().sorted(order).toList();
    }

    private static Set<FrontendAddress> addresses(@Nullable ServicePort port) {
        return port == null
                ? Set.of()
                : port.frontends().stream().map(Frontend::address).collect(Collectors.toSet());
    }

    /** The endpoints of all routes of a service port. */
    static Set<Endpoint> endpoints(@Nullable ServicePort port) {
        Set<Endpoint> all = new HashSet<>();
        if (port == null) {
            return all;
        }
        // Most routes of a service port share one list.
        Set<List<Endpoint>> seen = Collections.newSetFromMap(new IdentityHashMap<>());
        for (Frontend frontend : port.frontends()) {
            for (Origin origin : Origin.values()) {
                List<Endpoint> endpoints = frontend.route(origin).endpoints();
                if (seen.add(endpoints)) {
                    all.addAll(endpoints);
                }
            }
        }
        return all;
    }
}
