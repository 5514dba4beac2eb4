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
 * From one JSON tree to one {@link KubeObject}. Absent fields get the values the API server would give them, since a
 * manifest may never have seen one. What is wrong becomes a {@link Problem}; a bad port or endpoint is left out and the
 * rest of its object counts.
 */
public final class ObjectParser {
    private static final String ZONE = "topology.kubernetes.io/zone";
    private static final String TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler";

    private ObjectParser() {}

    /**
     * The object; null if there is nothing usable in it. If that is a fault, it was reported.
     *
     * @param proxyName as in {@link BuildOptions}
     */
    public static @Nullable KubeObject parse(
            Kind kind, JsonNode node, String source, String proxyName, List<Problem> problems) {
        String in = kind.ofCluster() ? "" : labelPart(node, "namespace", "default") + "/";
        String label = kind.text() + " " + in + labelPart(node, "name", "?");
        FieldReader root = FieldReader.root(node, new FieldReader.Report(source, label, problems));
        FieldReader metadata = root.get("metadata").object();
        String name = metadata.get("name").requiredName();
        String namespace = kind.ofCluster() ? "" : metadata.get("namespace").optionalName();
        if (name == null || namespace == null) {
            return null;
        }
        // A cluster has far fewer namespaces than objects.
        String shared = namespace.isEmpty() && !kind.ofCluster() ? "default" : namespace.intern();
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
        if (podCidrs.isEmpty() && !spec.get("podCIDR").text("").isEmpty()) {
            Cidr only = spec.get("podCIDR").cidr();
            podCidrs = only == null ? List.of() : List.of(only);
        }
        String unfit = metadata.get("deletionTimestamp").present() ? "its Node is being deleted" : "";
        for (FieldReader taint : spec.get("taints").objects()) {
            if (taint.get("key").text("").equals(TO_BE_DELETED)) {
                unfit = "the cluster autoscaler is about to delete its Node";
            }
        }
        String zone = metadata.get("labels").object().get(ZONE).text("");
        List<FieldReader> addresses =
                root.get("status").object().get("addresses").objects();
        return new NodeObject(key, zone, nodeAddresses(addresses), podCidrs, unfit);
    }

    /** In kube-proxy's order, which decides which one is primary; host names are no addresses. */
    private static List<IpAddress> nodeAddresses(List<FieldReader> fields) {
        Set<IpAddress> addresses = new LinkedHashSet<>();
        for (String type : List.of("InternalIP", "ExternalIP")) {
            for (FieldReader field : fields) {
                if (field.get("type").text("").equals(type)) {
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
