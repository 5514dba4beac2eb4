package io.sluice.apiserver;

import io.sluice.objects.Kind;
import io.sluice.objects.ServiceParser;
import io.sluice.rules.BuildOptions;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * A collection of objects on an API server that is listed and watched.
 *
 * @param group its API group, empty for the core
 * @param labels a label selector the server filters by; empty for all. Likewise {@code fields}
 * @param required whether nothing works without it; if not, a server may not have it, or not allow it
 */
record Resource(
        Kind kind, String group, String version, String plural, String labels, String fields, boolean required) {

    /**
     * As kube-proxy asks for them: others' Services, and those that have no address, are not even sent.
     *
     * @param proxyName as in {@link BuildOptions}; what a label may say needs no quotes in a selector
     */
    static Resource services(String proxyName) {
        return new Resource(
                Kind.SERVICE,
                "",
                "v1",
                "services",
                (proxyName.isEmpty() ? "!" + ServiceParser.PROXY_NAME : ServiceParser.PROXY_NAME + "=" + proxyName)
                        + ",!" + ServiceParser.HEADLESS,
                "spec.clusterIP!=None",
                true);
    }

    static Resource endpointSlices() {
        return new Resource(
                Kind.ENDPOINT_SLICE,
                "discovery.k8s.io",
                "v1",
                "endpointslices",
                "!service.kubernetes.io/headless",
                "",
                true);
    }

    static Resource endpoints() {
        return new Resource(Kind.ENDPOINTS, "", "v1", "endpoints", "!service.kubernetes.io/headless", "", true);
    }

    static Resource node(String name) {
        return new Resource(Kind.NODE, "", "v1", "nodes", "", "metadata.name=" + name, false);
    }

    static Resource serviceCidrs() {
        return new Resource(Kind.SERVICE_CIDR, "networking.k8s.io", "v1", "servicecidrs", "", "", false);
    }

    /** The same, for a server that does not know the field. */
    Resource withoutFields() {
        return new Resource(kind, group, version, plural, labels, "", required);
    }

    /** As RBAC and kubectl name it: {@code endpointslices.discovery.k8s.io}. */
    String name() {
        return group.isEmpty() ? plural : plural + "." + group;
    }

    /** The path of the collection, with a query that selects from it. */
    String path() {
        String query = (labels.isEmpty() ? "" : "&labelSelector=" + encoded(labels))
                + (fields.isEmpty() ? "" : "&fieldSelector=" + encoded(fields));
        return root() + "/" + plural + "?" + (query.isEmpty() ? "" : query.substring(1) + "&");
    }

    static String encoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }

    private String root() {
        return group.isEmpty() ? "/api/" + version : "/apis/" + group + "/" + version;
    }

    /** The path of one object, which is what it is called where a file's name would stand; null if it has no name. */
    @Nullable
    String pathOf(JsonNode object) {
        JsonNode metadata = object.path("metadata");
        String name = metadata.path("name").stringValue("");
        String namespace = metadata.path("namespace").stringValue("");
        if (name.isEmpty()) {
            return null;
        }
        return root() + (namespace.isEmpty() ? "" : "/namespaces/" + namespace) + "/" + plural + "/" + name;
    }

    /** What a role must say so that it may be watched. */
    String rule() {
        return "{apiGroups: [\"" + group + "\"], resources: [" + plural + "], verbs: [list, watch]}";
    }

    /** Whether a resource version comes before another one, as far as both are numbers. */
    static boolean isOlder(String version, String than) {
        if (!isNumber(version) || !isNumber(than)) {
            return false;
        }
        return version.length() != than.length() ? version.length() < than.length() : version.compareTo(than) < 0;
    }

    private static boolean isNumber(String text) {
        return !text.isEmpty() && text.chars().allMatch(c -> c >= '0' && c <= '9');
    }
}
