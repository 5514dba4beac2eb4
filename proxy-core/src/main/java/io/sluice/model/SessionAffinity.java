package io.sluice.model;

/**
 * The session affinity of a service port, which sends all new connections and flows from one client address to the same
 * endpoint.
 *
 * @param timeoutSeconds the lifetime of a session affinity entry after the last new connection or flow from its client;
 *     0 for no session affinity
 */
public record SessionAffinity(int timeoutSeconds) {
    public static final SessionAffinity NONE = new SessionAffinity(0);

    /** The Kubernetes default for {@code ClientIP}: three hours. */
    public static final int DEFAULT_TIMEOUT_SECONDS = 10_800;

    public SessionAffinity {
        if (timeoutSeconds < 0) {
            throw new IllegalArgumentException("timeout must not be negative: " + timeoutSeconds);
        }
    }

    /** Whether the session affinity is {@code ClientIP} rather than {@code None}. */
    public boolean byClientAddress() {
        return timeoutSeconds > 0;
    }
}
