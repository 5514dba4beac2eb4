package io.sluice.rules;

import io.sluice.model.Cidr;
import io.sluice.model.Family;
import io.sluice.model.Frontend;
import io.sluice.model.Frontend.Kind;
import io.sluice.model.IpAddress;
import io.sluice.model.TrafficPolicy;
import io.sluice.objects.ServiceObject;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * The rules for allowed source ranges, as pure functions. A client must be in the ranges of {@code source-ranges}, and
 * for LoadBalancer IPs also in {@code loadBalancerSourceRanges}.
 */
public final class SourceRanges {
    /** Text for ranges that contain no client. */
    public static final String NO_CLIENT = RangeList.NO_CLIENT;

    private SourceRanges() {}

    /** Formats allowed source ranges, which must not be empty: without those that contain no client. */
    public static String text(List<Cidr> ranges) {
        return RangeList.text(ranges);
    }

    /** Whether a frontend accepts no client of its own family. */
    static boolean allowsNoClient(Frontend frontend) {
        return frontend.allowedSources()
                .containsAll(RangeList.noClient(frontend.address().address().family()));
    }

    /** The allowed source ranges of a frontend; empty to allow all clients. */
    static List<Cidr> allowedSources(
            ServiceObject service, Kind kind, Family family, TrafficPolicy policy, LocalNode localNode) {
        List<Cidr> allowed = ofFamily(service, kind, family, policy, localNode);
        if (policy.proxyProtocol().acceptFrom().isEmpty()) {
            return allowed;
        }
        // The address in a PROXY header may be of the other family.
        Family other = family == Family.IPV4 ? Family.IPV6 : Family.IPV4;
        List<Cidr> otherAllowed = ofFamily(service, kind, other, policy, localNode);
        if (allowed.isEmpty() && otherAllowed.isEmpty()) {
            return List.of();
        }
        List<Cidr> both = new ArrayList<>(orAll(allowed, family));
        both.addAll(orAll(otherAllowed, other));
        return both;
    }

    private static List<Cidr> orAll(List<Cidr> ranges, Family family) {
        return ranges.isEmpty() ? List.of(new Cidr(IpAddress.unspecified(family), 0)) : ranges;
    }

    private static List<Cidr> ofFamily(
            ServiceObject service, Kind kind, Family family, TrafficPolicy policy, LocalNode localNode) {
        List<Cidr> allowed = policy.sourceRanges().isEmpty() ? List.of() : ofFamily(family, policy.sourceRanges());
        if (allowed.isEmpty() && !policy.sourceRanges().isEmpty()) {
            return RangeList.noClient(family);
        }
        return kind == Kind.LOAD_BALANCER ? ofLoadBalancer(service, family, allowed, localNode) : allowed;
    }

    private static List<Cidr> ofFamily(Family family, List<Cidr> ranges) {
        return ranges.stream()
                .filter(range -> range.network().family() == family)
                .toList();
    }

    private static List<Cidr> ofLoadBalancer(
            ServiceObject service, Family family, List<Cidr> fromPolicy, LocalNode localNode) {
        List<Cidr> ranges = ofFamily(family, service.external().sourceRanges());
        List<Cidr> allowed = new ArrayList<>(
                ranges.isEmpty() ? fromPolicy : fromPolicy.isEmpty() ? ranges : intersection(ranges, fromPolicy));
        IpAddress primary = NodePortAddresses.primary(localNode.addresses(), family);
        if (primary != null && allowed.stream().anyMatch(range -> range.contains(primary))) {
            // A node with the LoadBalancer IP on an interface uses it as its source address.
            for (IpAddress address : service.external().loadBalancerIps()) {
                if (address.family() == family) {
                    allowed.add(new Cidr(address, address.family().bits()));
                }
            }
        }
        return allowed.isEmpty() && !(ranges.isEmpty() && fromPolicy.isEmpty()) ? RangeList.noClient(family) : allowed;
    }

    private static List<Cidr> intersection(List<Cidr> one, List<Cidr> other) {
        Set<Cidr> common = new LinkedHashSet<>();
        for (Cidr range : one) {
            for (Cidr each : other) {
                if (range.covers(each)) {
                    common.add(each);
                } else if (each.covers(range)) {
                    common.add(range);
                }
            }
        }
        return List.copyOf(common);
    }
}
