package io.sluice.objects;

import io.sluice.document.FieldReader;
import io.sluice.model.Cidr;
import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import io.sluice.model.SessionAffinity;
import io.sluice.objects.ServiceObject.External;
import io.sluice.objects.ServiceObject.Port;
import io.sluice.rules.BuildOptions;
import java.time.DateTimeException;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.List;

/** Services: what is wrong is reported and left out, and the rest counts. */
public final class ServiceParser {
    public static final String PROXY_NAME = "service.kubernetes.io/service-proxy-name";
    public static final String HEADLESS = "service.kubernetes.io/headless";
    private static final int MAX_AFFINITY_SECONDS = 86_400;

    private ServiceParser() {}

    /** @param proxyName as in {@link BuildOptions} */
    static ServiceObject service(ObjectKey key, FieldReader metadata, FieldReader root, String proxyName) {
        FieldReader spec = root.get("spec").object();
        long created = created(metadata.get("creationTimestamp"));
        String type = type(spec.get("type"));
        List<IpAddress> clusterIps = List.of();
        FieldReader labels = metadata.get("labels").object();
        boolean others = proxyName.isEmpty()
                ? labels.has(PROXY_NAME)
                : !proxyName.equals(labels.get(PROXY_NAME).text(""));
        boolean hidden = others || labels.has(HEADLESS);
        if (!hidden && !type.equals("ExternalName") && !isHeadless(spec)) {
            clusterIps = clusterIps(spec);
        }
        if (clusterIps.isEmpty()) {
            // Nobody serves it here, so what else it says needs no checking.
            return new ServiceObject(key, created, clusterIps, SessionAffinity.NONE, false, External.NONE, List.of());
        }
        return new ServiceObject(
                key,
                created,
                clusterIps,
                affinity(spec),
                isLocal(spec.get("internalTrafficPolicy")),
                external(type, spec, root.get("status").object()),
                servicePorts(spec.get("ports")));
    }

    private static External external(String type, FieldReader spec, FieldReader status) {
        List<IpAddress> externalIps = spec.get("externalIPs").addresses();
        List<IpAddress> loadBalancerIps = loadBalancerIps(
                status.get("loadBalancer").object().get("ingress").objects());
        FieldReader rangeList = spec.get("loadBalancerSourceRanges");
        List<Cidr> sourceRanges = rangeList.cidrs();
        if (rangeList.present() && !rangeList.isListOf(sourceRanges.size())) {
            loadBalancerIps = onlyLimited(loadBalancerIps, sourceRanges, rangeList);
        } else if (!sourceRanges.isEmpty()) {
            warnOfUnlimited(loadBalancerIps, sourceRanges, rangeList);
        }
        boolean saysLocal = isLocal(spec.get("externalTrafficPolicy"));
        // The validity rule of ExternallyAccessible in kubernetes/pkg/api/v1/service/util.go.
        boolean local = saysLocal && (!type.equals("ClusterIP") || !externalIps.isEmpty());
        int healthCheckPort = 0;
        if (local && type.equals("LoadBalancer")) {
            FieldReader port = spec.get("healthCheckNodePort");
            healthCheckPort = port.optional(65_535);
            if (healthCheckPort == 0) {
                port.warning("not set, so a load balancer cannot ask whether this node has endpoints");
            }
        }
        External external = new External(local, externalIps, loadBalancerIps, sourceRanges, healthCheckPort);
        return external.equals(External.NONE) ? External.NONE : external;
    }

    /** Who wanted to shut some out must not get everybody in: a family without a good range is not served. */
    private static List<IpAddress> onlyLimited(List<IpAddress> addresses, List<Cidr> ranges, FieldReader rangeList) {
        List<IpAddress> limited = addresses.stream()
                .filter(address ->
                        ranges.stream().anyMatch(range -> range.network().family() == address.family()))
                .toList();
        if (limited.size() < addresses.size()) {
            rangeList.error("no range is left of "
                    + familyWithout(addresses, limited)
                    + ", so its load-balancer addresses are not served");
        }
        return limited;
    }

    /** A family without a range admits all, as with kube-proxy; that is seldom what was meant. */
    private static void warnOfUnlimited(List<IpAddress> addresses, List<Cidr> ranges, FieldReader rangeList) {
        for (Family family : Family.values()) {
            if (addresses.stream().anyMatch(address -> address.family() == family)
                    && ranges.stream().noneMatch(range -> range.network().family() == family)) {
                rangeList.warning("names no range of " + family + ", so its " + family
                        + " load-balancer addresses admit every client");
            }
        }
    }

    private static String familyWithout(List<IpAddress> addresses, List<IpAddress> limited) {
        boolean v4 =
                addresses.stream().anyMatch(address -> address.family() == Family.IPV4 && !limited.contains(address));
        boolean v6 =
                addresses.stream().anyMatch(address -> address.family() == Family.IPV6 && !limited.contains(address));
        return v4 && v6 ? "either family" : v4 ? "IPv4" : "IPv6";
    }

    /** Host names are left to name servers, and those of {@code ipMode: Proxy} to the load balancer itself. */
    private static List<IpAddress> loadBalancerIps(List<FieldReader> ingress) {
        List<IpAddress> addresses = new ArrayList<>();
        for (FieldReader entry : ingress) {
            FieldReader mode = entry.get("ipMode");
            String text = mode.text("VIP");
            if (!text.equals("VIP") && !text.equals("Proxy")) {
                mode.error(mode.quoted() + " is not VIP or Proxy");
            }
            if (text.equals("VIP") && !entry.get("ip").text("").isEmpty()) {
                IpAddress address = entry.get("ip").address();
                if (address != null && !addresses.contains(address)) {
                    addresses.add(address);
                }
            }
        }
        return addresses;
    }

    private static boolean isLocal(FieldReader policy) {
        String text = policy.text("Cluster");
        if (!text.equals("Local") && !text.equals("Cluster") && !text.isEmpty()) {
            policy.error(policy.quoted() + " is not Cluster or Local");
        }
        return text.equals("Local");
    }

    private static String type(FieldReader type) {
        String text = type.text("ClusterIP");
        return switch (text) {
            case "ClusterIP", "NodePort", "LoadBalancer", "ExternalName" -> text;
            case "" -> "ClusterIP";
            default -> {
                type.error(type.quoted() + " is not ClusterIP, NodePort, LoadBalancer or ExternalName");
                yield "ClusterIP";
            }
        };
    }

    private static boolean isHeadless(FieldReader spec) {
        if (spec.get("clusterIP").text("").equals("None")) {
            return true;
        }
        List<FieldReader> all = spec.get("clusterIPs").items();
        return !all.isEmpty() && all.get(0).text("").equals("None");
    }

    private static List<IpAddress> clusterIps(FieldReader spec) {
        List<FieldReader> fields = spec.get("clusterIPs").items();
        FieldReader single = spec.get("clusterIP");
        if (fields.isEmpty() && !single.text("").isEmpty()) {
            fields = List.of(single);
        } else if (fields.isEmpty()) {
            if (!single.present() || single.text() != null) {
                single.warning("not set, so there is no address to listen on; without an API server, choose one");
            }
        }
        int families = spec.get("ipFamilies").items().size();
        // The API server lists a family for each address; where it lists fewer, the rest does not count.
        return oneOfEachFamily(families == 0 ? fields : fields.subList(0, Math.min(families, fields.size())));
    }

    private static List<IpAddress> oneOfEachFamily(List<FieldReader> fields) {
        List<IpAddress> addresses = new ArrayList<>(fields.size());
        for (FieldReader field : fields) {
            IpAddress address = field.address();
            if (address == null || addresses.contains(address)) {
                continue;
            }
            if (addresses.stream().anyMatch(other -> other.family() == address.family())) {
                field.error(field.quoted() + " is the second of its family; one of each is allowed");
            } else {
                addresses.add(address);
            }
        }
        return addresses;
    }

    private static List<Port> servicePorts(FieldReader list) {
        List<Port> ports = new ArrayList<>();
        for (FieldReader field : list.objects()) {
            NamedPort named = PortParser.parse(field);
            int nodePort = field.get("nodePort").optional(65_535);
            if (named == null) {
                continue;
            }
            if (ports.stream().anyMatch(port -> named.joins(port.named()))) {
                field.error("the name \"" + named.name() + "\" is taken by another " + named.protocol()
                        + " port of this Service; each needs its own");
            } else {
                ports.add(new Port(named, nodePort));
            }
        }
        if (!list.present() || list.isEmptyList()) {
            list.error("missing; a Service needs at least one port");
        }
        return ports;
    }

    private static SessionAffinity affinity(FieldReader spec) {
        FieldReader mode = spec.get("sessionAffinity");
        String text = mode.text("None");
        if (text.equals("ClientIP")) {
            FieldReader timeout = spec.get("sessionAffinityConfig")
                    .object()
                    .get("clientIP")
                    .object()
                    .get("timeoutSeconds");
            int seconds = timeout.present() ? timeout.required(1, MAX_AFFINITY_SECONDS) : 0;
            return new SessionAffinity(seconds == 0 ? SessionAffinity.DEFAULT_TIMEOUT_SECONDS : seconds);
        }
        if (!text.equals("None") && !text.isEmpty()) {
            mode.error(mode.quoted() + " is not None or ClientIP");
        }
        return SessionAffinity.NONE;
    }

    private static long created(FieldReader field) {
        String text = field.text();
        if (text == null) {
            return ServiceObject.NOT_CREATED;
        }
        try {
            return OffsetDateTime.parse(text).toEpochSecond();
        } catch (DateTimeException e) {
            field.warning(field.quoted() + " is not a time such as 2026-01-31T12:00:00Z");
            return ServiceObject.NOT_CREATED;
        }
    }
}
