package io.sluice.kube;

import org.jspecify.annotations.Nullable;

/** The kinds of objects a snapshot is built from. */
enum Kind {
    SERVICE("Service", "v1"),
    ENDPOINT_SLICE("EndpointSlice", "discovery.k8s.io/v1"),
    ENDPOINTS("Endpoints", "v1"),
    NODE("Node", "v1");

    private final String text;
    private final String apiVersion;

    Kind(String text, String apiVersion) {
        this.text = text;
        this.apiVersion = apiVersion;
    }

    /** Objects of this kind belong to the cluster as a whole, and their keys have an empty namespace. */
    boolean ofCluster() {
        return this == NODE;
    }

    String text() {
        return text;
    }

    /** The API version matters: a {@code Service} of {@code serving.knative.dev/v1} is another thing altogether. */
    static @Nullable Kind of(String kind, String apiVersion) {
        for (Kind candidate : values()) {
            if (candidate.text.equals(kind) && candidate.apiVersion.equals(apiVersion)) {
                return candidate;
            }
        }
        return null;
    }
}
