package io.sluice.apiserver;

import io.sluice.objects.Kind;
import io.sluice.objects.ServiceParser;
import io.sluice.rules.BuildOptions;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * A collection of objects on an API server, to be listed and watched.
 *
 * @param group API group; empty for the core group
 * @param labels label selector; empty to select all
 * @param fields field selector; empty to select all
 * @param required whether the initial sync needs this collection; if not, it may be missing or forbidden
 */
record Resource(
        Kind kind, String group, String version, String plural, String labels, String fields, boolean required) {

    /**
     * Returns the collection of Services that this proxy serves. As with kube-proxy, the API server filters out
     * headless Services and those that other proxies serve.
     *
     * @param proxyName service proxy name, as in {@link BuildOptions}; a valid label value, which needs no quoting
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

    /** Returns the same collection without a field selector, for servers that do not support the selected field. */
    Resource withoutFields() {
        return new Resource(kind, group, version, plural, labels, "", required);
    }

    /** Name as RBAC and kubectl spell it: {@code endpointslices.discovery.k8s.io}. */
    String name() {
        return group.isEmpty() ? plural : plural + "." + group;
    }

    /** URL path of the collection with the selectors as query; more parameters can be appended. */
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

    /** URL path of an object, used as its source in place of a file name; null if the object has no name. */
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

    /** RBAC rule that permits listing and watching the collection. */
    String rule() {
        return "{apiGroups: [\"" + group + "\"], resources: [" + plural + "], verbs: [list, watch]}";
    }

    /** Whether a resourceVersion is lower than another one; false if either is not a number. */
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
