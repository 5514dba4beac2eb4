package io.sluice.admin;

import io.sluice.forward.ConnectionFilter;
import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import java.util.Locale;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Parses the filters of lists. */
final class Filters {
    static final String SERVICE = "service";
    static final String CLIENT = "client";
    static final String ENDPOINT = "endpoint";
    static final String FRONTEND = "frontend";

    private static final Pattern SERVICE_PORT = Pattern.compile("([^/:\\s]+)/([^/:\\s]+)(?::([^/:\\s]+))?");
    private static final String ADDRESS_FORMAT =
            "an IP address, optionally with a port: 10.1.0.4, 10.1.0.4:8080, fd00::4 or [fd00::4]:8080";

    /** @param port 0 if there is none */
    private record HostAndPort(IpAddress address, int port) {}

    private Filters() {}

    /** Reads the parameters {@code service}, {@code client}, {@code endpoint} and {@code frontend}. */
    static ConnectionFilter of(ApiRequest request) {
        String service = request.text(SERVICE);
        Matcher name = service == null ? null : servicePort(service);
        HostAndPort client = address(CLIENT, request.text(CLIENT));
        HostAndPort endpoint = address(ENDPOINT, request.text(ENDPOINT));
        return new ConnectionFilter(
                name == null ? null : name.group(1),
                name == null ? null : name.group(2),
                name == null ? null : name.group(3),
                client == null ? null : client.address(),
                client == null ? 0 : client.port(),
                endpoint == null ? null : endpoint.address(),
                endpoint == null ? 0 : endpoint.port(),
                frontend(request));
    }

    private static Matcher servicePort(String value) {
        Matcher matcher = SERVICE_PORT.matcher(value);
        if (!matcher.matches()) {
            throw ApiRequest.invalid(SERVICE, value, "NAMESPACE/NAME or NAMESPACE/NAME:PORT");
        }
        return matcher;
    }

    /** Selects endpoints by the value of a parameter: an address, with or without a port. */
    static ConnectionFilter endpointFilter(String parameter, String value) {
        HostAndPort endpoint = Objects.requireNonNull(address(parameter, value));
        return new ConnectionFilter(null, null, null, null, 0, endpoint.address(), endpoint.port(), null);
    }

    private static @Nullable HostAndPort address(String parameter, @Nullable String value) {
        if (value == null) {
            return null;
        }
        IpAddress alone = IpAddress.parse(value);
        if (alone != null) {
            return new HostAndPort(alone, 0);
        }
        Endpoint both = Endpoint.parse(value);
        if (both == null) {
            throw ApiRequest.invalid(parameter, value, ADDRESS_FORMAT);
        }
        return new HostAndPort(both.address(), both.port());
    }

    private static @Nullable FrontendAddress frontend(ApiRequest request) {
        String value = request.text(FRONTEND);
        if (value == null) {
            return null;
        }
        int slash = value.lastIndexOf('/');
        Endpoint address = slash < 0 ? null : Endpoint.parse(value.substring(0, slash));
        for (Protocol protocol : Protocol.values()) {
            if (address != null
                    && value.substring(slash + 1).toLowerCase(Locale.ROOT).equals(protocol.text())) {
                return new FrontendAddress(protocol, address.address(), address.port());
            }
        }
        throw ApiRequest.invalid(FRONTEND, value, "ADDRESS:PORT/PROTOCOL, such as 10.96.0.10:80/tcp");
    }

    /** Parses an endpoint in a path; throws with status 404 if it is invalid, as for any unknown endpoint. */
    static Endpoint endpoint(String value) {
        Endpoint endpoint = Endpoint.parse(value);
        if (endpoint == null) {
            throw new ApiException(404, "'" + value + "' is not an endpoint; must be ADDRESS:PORT or [ADDRESS]:PORT");
        }
        return endpoint;
    }
}
