package io.sluice.model;

/**
 * Whether new connections of one client address stay on one endpoint.
 *
 * @param timeoutSeconds how long after its last new connection a client is remembered; 0 means no affinity
 */
public record SessionAffinity(int timeoutSeconds) {
    public static final SessionAffinity NONE = new SessionAffinity(0);

    /** Kubernetes' default for {@code ClientIP}: three hours. */
    public static final int DEFAULT_TIMEOUT_SECONDS = 10_800;

    public SessionAffinity {
        if (timeoutSeconds < 0) {
            throw new IllegalArgumentException("negative timeout " + timeoutSeconds);
        }
    }

    public boolean byClientAddress() {
        return timeoutSeconds > 0;
    }
}
