package io.sluice.kube;

import io.sluice.model.IpAddress;
import io.sluice.model.SessionAffinity;
import java.util.List;

/**
 * A Service.
 *
 * @param createdSeconds seconds since 1970, or {@link #NOT_CREATED}
 * @param clusterIps empty if there is nothing to serve: headless, ExternalName, or another proxy's
 * @param internalLocal whether internalTrafficPolicy is Local
 * @param externalLocal whether externalTrafficPolicy says Local, whether or not that means anything for this Service
 */
record ServiceObject(
        ObjectKey key,
        long createdSeconds,
        List<IpAddress> clusterIps,
        SessionAffinity affinity,
        boolean internalLocal,
        boolean externalLocal,
        List<NamedPort> ports)
        implements KubeObject {
    /** A manifest that never saw an API server is younger than everything that did. */
    static final long NOT_CREATED = Long.MAX_VALUE;

    ServiceObject {
        clusterIps = List.copyOf(clusterIps);
        ports = List.copyOf(ports);
    }

    @Override
    public ServiceKey service() {
        return new ServiceKey(key.namespace(), key.name());
    }
}
