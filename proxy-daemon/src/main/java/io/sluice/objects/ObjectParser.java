package io.sluice.objects;

import io.sluice.document.FieldReader;
import io.sluice.document.Problem;
import io.sluice.model.Cidr;
import io.sluice.model.IpAddress;
import io.sluice.rules.BuildOptions;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * Parses a JSON tree into a {@link KubeObject}. Absent fields get the defaults of the API server, because a manifest
 * may never have passed through an API server. Invalid fields are reported as {@link Problem}s; an invalid port or
 * endpoint is skipped and the rest of its object is used.
 */
public final class ObjectParser {
    private static final String ZONE = "topology.kubernetes.io/zone";
    private static final String TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler";

    private ObjectParser() {}

    /**
     * Parses an object. Reports invalid fields. Returns null if the object contains nothing usable.
     *
     * @param proxyName the {@code serviceProxyName} of {@link BuildOptions}
     */
    public static @Nullable KubeObject parse(
            Kind kind, JsonNode node, String source, String proxyName, List<Problem> problems) {
        String in = kind.isClusterScoped() ? "" : labelPart(node, "namespace", "default") + "/";
        String label = kind.text() + " " + in + labelPart(node, "name", "?");
        FieldReader root = FieldReader.root(node, new FieldReader.Report(source, label, problems));
        FieldReader metadata = root.get("metadata").object();
        String name = metadata.get("name").requiredName();
        String namespace =
                kind.isClusterScoped() ? "" : metadata.get("namespace").optionalName();
        if (name == null || namespace == null) {
            return null;
        }
        // Equal namespaces share one instance, because a cluster has far fewer namespaces than objects.
        String shared = namespace.isEmpty() && !kind.isClusterScoped() ? "default" : namespace.intern();
        ObjectKey key = new ObjectKey(kind, shared, name);
        return switch (kind) {
            case SERVICE -> ServiceParser.service(key, metadata, root, proxyName);
            case ENDPOINT_SLICE -> EndpointsParser.slice(key, metadata, root);
            case ENDPOINTS -> EndpointsParser.endpoints(key, root);
            case NODE -> node(key, metadata, root);
            case SERVICE_CIDR ->
                new ServiceCidrObject(
                        key, root.get("spec").object().get("cidrs").cidrs());
        };
    }

    private static NodeObject node(ObjectKey key, FieldReader metadata, FieldReader root) {
        FieldReader spec = root.get("spec").object();
        List<Cidr> podCidrs = spec.get("podCIDRs").cidrs();
        if (podCidrs.isEmpty() && !spec.get("podCIDR").string("").isEmpty()) {
            Cidr only = spec.get("podCIDR").cidr();
            podCidrs = only == null ? List.of() : List.of(only);
        }
        String ineligible = metadata.get("deletionTimestamp").present() ? "its Node is being deleted" : "";
        for (FieldReader taint : spec.get("taints").objects()) {
            if (taint.get("key").string("").equals(TO_BE_DELETED)) {
                ineligible = "the cluster autoscaler is about to delete its Node";
            }
        }
        String zone = metadata.get("labels").object().get(ZONE).string("");
        List<FieldReader> addresses =
                root.get("status").object().get("addresses").objects();
        return new NodeObject(key, zone, nodeAddresses(addresses), podCidrs, ineligible);
    }

    /** The addresses in kube-proxy's order, which determines the primary address. Host names are ignored. */
    private static List<IpAddress> nodeAddresses(List<FieldReader> fields) {
        Set<IpAddress> addresses = new LinkedHashSet<>();
        for (String type : List.of("InternalIP", "ExternalIP")) {
            for (FieldReader field : fields) {
                if (field.get("type").string("").equals(type)) {
                    IpAddress address = field.get("address").address();
                    if (address != null) {
                        addresses.add(address);
                    }
                }
            }
        }
        return List.copyOf(addresses);
    }

    private static String labelPart(JsonNode node, String field, String absent) {
        JsonNode value = node.path("metadata").path(field);
        String text = value.stringValue(absent);
        return text.isEmpty() ? absent : FieldReader.isName(text) ? text : "?";
    }
}
