package io.sluice.objects;

import io.sluice.document.FieldReader;
import io.sluice.document.Problem;
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
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Parses Services. Reports and skips invalid fields, and uses the valid ones. */
public final class ServiceParser {
    /** Label with the name of the proxy that serves a Service. */
    public static final String PROXY_NAME = "service.kubernetes.io/service-proxy-name";
    /** Label of headless Services and their slices. */
    public static final String HEADLESS = "service.kubernetes.io/headless";

    /** Prefix of the annotations that set the traffic policy of a Service. */
    public static final String ANNOTATION_PREFIX = "service.sluice.io/";

    /** Value of an annotation that is not a string, which has been reported as an error. */
    public static final String NOT_A_STRING = "\0";

    private static final int MAX_AFFINITY_SECONDS = 86_400;

    private ServiceParser() {}

    /**
     * Parses a Service.
     *
     * @param proxyName the {@code serviceProxyName} of {@link BuildOptions}
     */
    static ServiceObject service(ObjectKey key, FieldReader metadata, FieldReader root, String proxyName) {
        FieldReader spec = root.get("spec").object();
        long created = created(metadata.get("creationTimestamp"));
        String type = type(spec.get("type"));
        List<IpAddress> clusterIps = List.of();
        FieldReader labels = metadata.get("labels").object();
        boolean ofAnotherProxy = proxyName.isEmpty()
                ? labels.has(PROXY_NAME)
                : !proxyName.equals(labels.get(PROXY_NAME).string(""));
        boolean hidden = ofAnotherProxy || labels.has(HEADLESS);
        if (!hidden && !type.equals("ExternalName") && !isHeadless(spec)) {
            clusterIps = clusterIps(spec);
        }
        if (clusterIps.isEmpty()) {
            // Sluice does not serve this Service, so the other fields are not checked.
            return new ServiceObject(key, created, clusterIps, SessionAffinity.NONE, false, External.NONE, List.of());
        }
        return new ServiceObject(
                key,
                created,
                clusterIps,
                affinity(spec),
                isLocal(spec.get("internalTrafficPolicy")),
                external(type, spec, root.get("status").object()),
                servicePorts(spec.get("ports")),
                annotations(metadata.get("annotations").object()));
    }

    private static Map<String, String> annotations(FieldReader annotations) {
        Map<String, String> ours = new HashMap<>();
        for (FieldReader field : annotations.fields()) {
            if (field.name().startsWith(ANNOTATION_PREFIX)) {
                String value = field.string();
                if (field.present()) {
                    // Invalid, not absent: without its source ranges, a Service would allow all clients.
                    ours.put(field.name().substring(ANNOTATION_PREFIX.length()), value == null ? NOT_A_STRING : value);
                }
            }
        }
        return ours;
    }

    private static External external(String type, FieldReader spec, FieldReader status) {
        List<IpAddress> externalIps = spec.get("externalIPs").addresses();
        List<IpAddress> loadBalancerIps = loadBalancerIps(
                status.get("loadBalancer").object().get("ingress").objects());
        FieldReader rangeList = spec.get("loadBalancerSourceRanges");
        List<Cidr> sourceRanges = rangeList.cidrs();
        if (rangeList.present() && !rangeList.isListOf(sourceRanges.size())) {
            loadBalancerIps = withValidRange(loadBalancerIps, sourceRanges, rangeList);
        } else if (!sourceRanges.isEmpty()) {
            warnOfUnrestrictedFamilies(loadBalancerIps, sourceRanges, rangeList);
        }
        boolean saysLocal = isLocal(spec.get("externalTrafficPolicy"));
        // The condition of ExternallyAccessible in kubernetes/pkg/api/v1/service/util.go.
        boolean local = saysLocal && (!type.equals("ClusterIP") || !externalIps.isEmpty());
        int healthCheckPort = 0;
        if (local && type.equals("LoadBalancer")) {
            FieldReader port = spec.get("healthCheckNodePort");
            healthCheckPort = port.optional(65_535);
            if (healthCheckPort == 0) {
                port.warning("not set, so load balancers cannot check whether this node has endpoints");
            }
        }
        External external = new External(local, externalIps, loadBalancerIps, sourceRanges, healthCheckPort);
        return external.equals(External.NONE) ? External.NONE : external;
    }

    /** Removes addresses of families without a valid range, so that an invalid range does not allow all clients. */
    private static List<IpAddress> withValidRange(List<IpAddress> addresses, List<Cidr> ranges, FieldReader rangeList) {
        List<IpAddress> limited = addresses.stream()
                .filter(address ->
                        ranges.stream().anyMatch(range -> range.network().family() == address.family()))
                .toList();
        if (limited.size() < addresses.size()) {
            String family = familyWithout(addresses, limited);
            rangeList.error("no valid " + family + "range, so the " + family + "LoadBalancer IPs are not served");
        }
        return limited;
    }

    /** Warns if a family has no range. As in kube-proxy, all its clients are allowed, which is rarely intended. */
    private static void warnOfUnrestrictedFamilies(
            List<IpAddress> addresses, List<Cidr> ranges, FieldReader rangeList) {
        for (Family family : Family.values()) {
            if (addresses.stream().anyMatch(address -> address.family() == family)
                    && ranges.stream().noneMatch(range -> range.network().family() == family)) {
                rangeList.warning(
                        "contains no " + family + " range, so the " + family + " LoadBalancer IPs accept all clients");
            }
        }
    }

    /**
     * The family of the removed addresses, as a prefix for messages such as {@code "IPv4 "}; empty for both families.
     */
    private static String familyWithout(List<IpAddress> addresses, List<IpAddress> limited) {
        boolean v4 =
                addresses.stream().anyMatch(address -> address.family() == Family.IPV4 && !limited.contains(address));
        boolean v6 =
                addresses.stream().anyMatch(address -> address.family() == Family.IPV6 && !limited.contains(address));
        return v4 && v6 ? "" : v4 ? "IPv4 " : "IPv6 ";
    }

    /** The addresses with {@code ipMode: VIP}. Skips host names and addresses with {@code ipMode: Proxy}. */
    private static List<IpAddress> loadBalancerIps(List<FieldReader> ingress) {
        List<IpAddress> addresses = new ArrayList<>();
        for (FieldReader entry : ingress) {
            FieldReader mode = entry.get("ipMode");
            String text = mode.string("VIP");
            if (!text.equals("VIP") && !text.equals("Proxy")) {
                mode.error(mode.quoted() + " is not VIP or Proxy");
            }
            if (text.equals("VIP") && !entry.get("ip").string("").isEmpty()) {
                IpAddress address = entry.get("ip").address();
                if (address != null && !addresses.contains(address)) {
                    addresses.add(address);
                }
            }
        }
        return addresses;
    }

    private static boolean isLocal(FieldReader policy) {
        String text = policy.string("Cluster");
        if (!text.equals("Local") && !text.equals("Cluster") && !text.isEmpty()) {
            policy.error(policy.quoted() + " is not Cluster or Local");
        }
        return text.equals("Local");
    }

    private static String type(FieldReader type) {
        String text = type.string("ClusterIP");
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
        if (spec.get("clusterIP").string("").equals("None")) {
            return true;
        }
        List<FieldReader> all = spec.get("clusterIPs").items();
        return !all.isEmpty() && all.get(0).string("").equals("None");
    }

    private static List<IpAddress> clusterIps(FieldReader spec) {
        List<FieldReader> fields = spec.get("clusterIPs").items();
        FieldReader single = spec.get("clusterIP");
        if (fields.isEmpty() && !single.string("").isEmpty()) {
            fields = List.of(single);
        } else if (fields.isEmpty()) {
            if (!single.present() || single.string() != null) {
                single.warning("not set, so the Service is not served; without an API server to allocate it, set it"
                        + " explicitly");
            }
        }
        int families = spec.get("ipFamilies").items().size();
        // The API server sets a family for each address. If there are fewer families, the excess addresses are ignored.
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
                field.error(field.quoted() + " is a second address of its family; must be at most one per family");
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
            if (ports.stream().anyMatch(port -> named.matches(port.named()))) {
                field.error("another " + named.protocol() + " port of this Service has the name "
                        + Problem.quoted(named.name()) + ", so this port is ignored; give it a unique name");
            } else {
                ports.add(new Port(named, nodePort));
            }
        }
        if (!list.present() || list.isEmptyList()) {
            list.error("missing; a Service must have at least one port");
        }
        return ports;
    }

    private static SessionAffinity affinity(FieldReader spec) {
        FieldReader mode = spec.get("sessionAffinity");
        String text = mode.string("None");
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
        String text = field.string();
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
