package io.sluice.forward;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.ServicePortName;
import org.jspecify.annotations.Nullable;

/**
 * Selects connections, flows or session affinity entries. A null component matches everything, and so does port 0.
 *
 * @param namespace the namespace of the Service
 * @param service the name of the Service
 * @param port the name of the service port
 */
public record ConnectionFilter(
        @Nullable String namespace,
        @Nullable String service,
        @Nullable String port,
        @Nullable IpAddress client,
        int clientPort,
        @Nullable IpAddress endpoint,
        int endpointPort,
        @Nullable FrontendAddress frontend) {
    /** Matches everything. */
    public static final ConnectionFilter ALL = new ConnectionFilter(null, null, null, null, 0, null, 0, null);

    /** Returns a filter for an endpoint of a Service, given as {@code namespace/name}. */
    static ConnectionFilter of(String service, Endpoint endpoint) {
        int slash = service.indexOf('/');
        return new ConnectionFilter(
                service.substring(0, slash),
                service.substring(slash + 1),
                null,
                null,
                0,
                endpoint.address(),
                endpoint.port(),
                null);
    }

    /** Whether this filter matches a service port. Allocates nothing. */
    public boolean matches(ServicePortName name) {
        return (service == null || name.service().equals(service))
                && (namespace == null || name.namespace().equals(namespace))
                && (port == null || name.port().equals(port));
    }

    /** Whether this filter matches a client. Allocates nothing. */
    public boolean matchesClient(IpAddress address, int number) {
        return (client == null || client.equals(address)) && (clientPort == 0 || clientPort == number);
    }

    /** Whether this filter matches an endpoint. Allocates nothing. */
    public boolean matches(@Nullable Endpoint other) {
        return endpoint == null
                || (other != null
                        && endpoint.equals(other.address())
                        && (endpointPort == 0 || endpointPort == other.port()));
    }

    /** Whether this filter matches a frontend. Allocates nothing. */
    public boolean matches(FrontendAddress address) {
        return frontend == null || frontend.equals(address);
    }
}
