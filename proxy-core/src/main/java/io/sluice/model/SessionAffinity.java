package io.sluice.model;

/**
 * The session affinity of a service port: with it, new connections and flows of one client address go to one endpoint.
 *
 * @param timeoutSeconds the lifetime of an affinity entry after the last new connection of its client; 0 means no affinity
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

    /** Whether the affinity is {@code ClientIP} rather than {@code None}. */
    public boolean byClientAddress() {
        return timeoutSeconds > 0;
    }
}
