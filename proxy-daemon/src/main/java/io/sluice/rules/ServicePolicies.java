package io.sluice.rules;

import io.sluice.document.Problem;
import io.sluice.document.Problem.Severity;
import io.sluice.model.Cidr;
import io.sluice.model.Frontend;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.TrafficPolicy;
import io.sluice.model.TrafficPolicy.ProxyHeader;
import io.sluice.model.TrafficPolicy.ProxyProtocol;
import io.sluice.objects.ServiceObject;
import io.sluice.objects.ServiceParser;
import io.sluice.text.Suggestion;
import java.util.Collection;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;

/** Determines the traffic policies of Services from their annotations and the defaults of the configuration file. */
final class ServicePolicies {
    /** Maximum number of unknown annotations that are reported for one Service. */
    private static final int MAX_UNKNOWN = 10;

    private static final List<Cidr> NO_CLIENT = RangeList.noClient();

    private final ObjectStore store;
    private final PolicyValues defaults;
    private final TrafficPolicy defaultPolicy;

    ServicePolicies(PolicyValues defaults, ObjectStore store) {
        this.store = store;
        this.defaults = defaults;
        this.defaultPolicy = defaults.policy();
    }

    /**
     * Returns the policy of a Service, and reports annotations that are invalid or have no effect. Services without
     * annotations share one instance.
     */
    TrafficPolicy of(ServiceObject service, Collection<Problem> found) {
        if (service.annotations().isEmpty()) {
            return defaultPolicy;
        }
        Map<PolicyKey<?>, String> errors = new LinkedHashMap<>();
        PolicyValues own = annotations(service, errors, found);
        PolicyConflicts.Resolved resolved = PolicyConflicts.resolve(own, defaults, PolicyKey::name);
        errors.forEach((key, message) ->
                found.add(problem(service, Severity.ERROR, key.name(), using(key, message, resolved.values()))));
        for (PolicyConflicts.Conflict conflict : resolved.conflicts()) {
            found.add(problem(
                    service,
                    conflict.severity(),
                    conflict.key().name(),
                    conflict.isError()
                            ? using(conflict.key(), conflict.message(), resolved.values())
                            : conflict.message()));
        }
        checkProtocols(service, own, found);
        TrafficPolicy policy = resolved.values().policy();
        return policy.equals(defaultPolicy) ? defaultPolicy : policy;
    }

    private static String using(PolicyKey<?> key, String message, PolicyValues values) {
        return key == PolicyKey.SOURCE_RANGES ? message : message + "; using " + values.text(key);
    }

    private PolicyValues annotations(
            ServiceObject service, Map<PolicyKey<?>, String> errors, Collection<Problem> found) {
        PolicyValues values = PolicyValues.NONE;
        int unknown = 0;
        for (Map.Entry<String, String> annotation : new TreeMap<>(service.annotations()).entrySet()) {
            PolicyKey<?> key = PolicyKey.of(annotation.getKey());
            if (key == null) {
                if (++unknown <= MAX_UNKNOWN) {
                    found.add(problem(service, Severity.ERROR, annotation.getKey(), unknownKey(annotation.getKey())));
                }
                continue;
            }
            if (annotation.getValue().equals(ServiceParser.NOT_A_STRING)) {
                if (key == PolicyKey.SOURCE_RANGES) {
                    values = values.with(PolicyKey.SOURCE_RANGES, NO_CLIENT);
                    errors.put(key, "no client is allowed");
                }
                continue;
            }
            try {
                values = values.withText(key, annotation.getValue());
            } catch (IllegalArgumentException e) {
                String message = String.valueOf(e.getMessage());
                if (key == PolicyKey.SOURCE_RANGES) {
                    // An invalid range must not allow all clients.
                    List<Cidr> valid = RangeList.valid(annotation.getValue());
                    values = values.with(PolicyKey.SOURCE_RANGES, valid.isEmpty() ? NO_CLIENT : valid);
                    message += valid.isEmpty()
                            ? "; no client is allowed"
                            : valid.size() == RangeList.MAX_RANGES
                                    ? "; only clients in the first " + RangeList.MAX_RANGES
                                            + " valid ranges are allowed"
                                    : "; only clients in the valid ranges are allowed";
                }
                errors.put(key, message);
            }
        }
        return values;
    }

    private static String unknownKey(String name) {
        List<String> names =
                PolicyKey.values().stream().map(PolicyKey::name).sorted().toList();
        String suggestion = Suggestion.among(names, name);
        return "is not a key of the traffic policy"
                + (suggestion.isEmpty() ? " (allowed: " + String.join(", ", names) + ")" : suggestion);
    }

    private void checkProtocols(ServiceObject service, PolicyValues own, Collection<Problem> found) {
        Set<Protocol> protocols = service.ports().stream()
                .map(port -> port.named().protocol())
                .collect(Collectors.toCollection(() -> EnumSet.noneOf(Protocol.class)));
        if (protocols.contains(Protocol.UDP)
                && own.has(PolicyKey.PROXY_PROTOCOL)
                && own.get(PolicyKey.PROXY_PROTOCOL) == ProxyHeader.V1) {
            found.add(problem(
                    service,
                    Severity.ERROR,
                    PolicyKey.PROXY_PROTOCOL.name(),
                    "'v1' does not exist for UDP; must be v2 or none for UDP ports; using none for the UDP ports"));
        }
        if (protocols.equals(Set.of(Protocol.UDP)) && own.has(PolicyKey.ACCEPT_PROXY_PROTOCOL_FROM)) {
            found.add(problem(
                    service,
                    Severity.WARNING,
                    PolicyKey.ACCEPT_PROXY_PROTOCOL_FROM.name(),
                    "has no effect, because headers are read only on TCP ports"));
        }
    }

    /** Returns the policy without the keys that do not exist for the protocol. */
    static TrafficPolicy forProtocol(TrafficPolicy policy, Protocol protocol) {
        ProxyProtocol proxy = policy.proxyProtocol();
        boolean same = protocol == Protocol.TCP
                || (proxy.send() != ProxyHeader.V1 && proxy.acceptFrom().isEmpty());
        return same
                ? policy
                : new TrafficPolicy(
                        policy.balancing(),
                        policy.limits(),
                        policy.timeouts(),
                        new ProxyProtocol(proxy.send() == ProxyHeader.V1 ? ProxyHeader.NONE : proxy.send(), List.of()),
                        policy.lifetime(),
                        policy.sourceRanges(),
                        policy.socketLb());
    }

    /** Reports frontends that accept no client because of source ranges. */
    void checkSourceRanges(
            ServiceObject service, TrafficPolicy policy, List<Frontend> frontends, Collection<Problem> found) {
        List<Cidr> ranges = policy.sourceRanges();
        for (Frontend frontend : ranges.isEmpty() ? List.<Frontend>of() : frontends) {
            IpAddress address = frontend.address().address();
            List<Cidr> none = RangeList.noClient(address.family());
            if (!SourceRanges.allowsNoClient(frontend) || ranges.containsAll(none)) {
                continue;
            }
            boolean hasFamily =
                    ranges.stream().anyMatch(range -> range.network().family() == address.family());
            found.add(problem(
                    service,
                    Severity.WARNING,
                    PolicyKey.SOURCE_RANGES.name(),
                    hasFamily
                            ? "has no address in common with spec.loadBalancerSourceRanges, so the " + address.family()
                                    + " LoadBalancer IPs accept no client"
                            : "contains no " + address.family() + " range, so the " + address.family()
                                    + " addresses of the Service accept no client"));
        }
    }

    private Problem problem(ServiceObject service, Severity severity, String key, String message) {
        boolean annotated = service.annotations().containsKey(key);
        return new Problem(
                severity,
                store.sourceOf(service.service()),
                service.key().toString(),
                annotated ? "metadata.annotations[" + ServiceParser.ANNOTATION_PREFIX + key + "]" : "serviceDefaults",
                annotated ? message : key + " " + message);
    }
}
