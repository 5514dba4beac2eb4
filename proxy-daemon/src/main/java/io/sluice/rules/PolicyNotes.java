package io.sluice.rules;

import io.sluice.model.Cidr;
import io.sluice.model.Frontend;
import io.sluice.model.Frontend.Kind;
import io.sluice.model.IpAddress;
import io.sluice.model.Origin;
import io.sluice.model.TrafficPolicy;
import io.sluice.objects.ServiceObject;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/** Explains the policies that apply to a packet, for {@link Tracer}. */
final class PolicyNotes {
    private PolicyNotes() {}

    /** The name of the Kubernetes policy that applies to frontends of a kind. */
    static String policyName(Kind kind) {
        return kind == Kind.CLUSTER_IP ? "internalTrafficPolicy" : "externalTrafficPolicy";
    }

    /** The effect of internalTrafficPolicy or externalTrafficPolicy. */
    static String ofKubernetes(ServiceObject service, Kind kind, Origin origin) {
        boolean local = kind == Kind.CLUSTER_IP
                ? service.internalLocal()
                : service.external().local();
        String name = policyName(kind);
        if (!local) {
            return name + " Cluster: endpoints on any node";
        }
        return FrontendRules.onlyLocal(service, kind, origin)
                ? name + " Local: only endpoints on this node"
                : name + " Local, which does not apply to traffic from pods or this node: endpoints on any node";
    }

    /** Whether a client may use a frontend, as far as its address decides. */
    static boolean isAllowed(IpAddress client, Frontend frontend, TrafficPolicy policy) {
        return frontend.allowsSource(client) || policy.proxyProtocol().acceptsFrom(client);
    }

    /** Why a client is not allowed. */
    static String notAllowed(IpAddress client, Frontend frontend, TrafficPolicy policy) {
        List<Cidr> ranges = policy.sourceRanges();
        if (!ranges.isEmpty() && ranges.stream().noneMatch(range -> range.contains(client))) {
            return ranges.equals(RangeList.noClient())
                    ? "source-ranges allows no client"
                    : client + " is not in source-ranges " + texts(ranges);
        }
        return client + " is not in loadBalancerSourceRanges"
                + (ranges.isEmpty() ? " " + SourceRanges.text(frontend.allowedSources()) : "");
    }

    /** The keys of the traffic policy that are not defaults, and what they mean for a client. */
    static List<String> ofService(IpAddress client, Frontend frontend, TrafficPolicy policy) {
        List<String> lines = new ArrayList<>();
        PolicyValues.texts(policy).forEach((key, value) -> lines.add(key + ": " + value));
        if (policy.proxyProtocol().acceptsFrom(client)) {
            lines.add("a PROXY protocol header is required from " + client
                    + ": source ranges, session affinity and limits apply to the address in the header");
        } else if (!policy.sourceRanges().isEmpty() && frontend.allowsSource(client)) {
            lines.add(client + " is in an allowed source range");
        }
        return lines;
    }

    static String texts(List<Cidr> ranges) {
        return ranges.stream().map(Cidr::toString).collect(Collectors.joining(", "));
    }
}
