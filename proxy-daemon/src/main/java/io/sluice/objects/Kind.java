package io.sluice.objects;

import java.util.List;
import org.jspecify.annotations.Nullable;

/** The kinds of Kubernetes objects from which a snapshot is built. */
@SuppressWarnings("ImmutableEnumChecker") // the list is List.of
public enum Kind {
    SERVICE("Service", "v1"),
    ENDPOINT_SLICE("EndpointSlice", "discovery.k8s.io/v1"),
    ENDPOINTS("Endpoints", "v1"),
    NODE("Node", "v1"),
    SERVICE_CIDR("ServiceCIDR", "networking.k8s.io/v1", "networking.k8s.io/v1beta1");

    private final String text;
    private final List<String> apiVersions;

    Kind(String text, String... apiVersions) {
        this.text = text;
        this.apiVersions = List.of(apiVersions);
    }

    /** Whether objects of this kind are cluster-scoped: their keys have an empty namespace. */
    public boolean isClusterScoped() {
        return this == NODE || this == SERVICE_CIDR;
    }

    String text() {
        return text;
    }

    /** The kind with this name and API version; null if none matches. Knative also has a kind {@code Service}. */
    public static @Nullable Kind of(String kind, String apiVersion) {
        for (Kind candidate : values()) {
            if (candidate.text.equals(kind) && candidate.apiVersions.contains(apiVersion)) {
                return candidate;
            }
        }
        return null;
    }
}
