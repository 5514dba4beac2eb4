package io.sluice.model;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** A destination of forwarded traffic: an address of a pod or other server, and the port that the server listens on. */
public record Endpoint(IpAddress address, int port) {
    private static final Pattern TEXT = Pattern.compile("(?:\\[([0-9A-Fa-f:.]+)]|([0-9.]+)):([0-9]{1,5})");

    public Endpoint {
        if (port < 1 || port > 65_535) {
            throw new IllegalArgumentException("port must be in 1..65535, not " + port);
        }
    }

    /**
     * Parses {@code 10.0.0.1:80} or {@code [fd00::1]:80}.
     *
     * @return the endpoint; null if the string is not a valid address and port
     */
    public static @Nullable Endpoint parse(String text) {
        Matcher matcher = TEXT.matcher(text);
        if (!matcher.matches()) {
            return null;
        }
        IpAddress address = IpAddress.parse(matcher.group(1) == null ? matcher.group(2) : matcher.group(1));
        int port = Integer.parseInt(matcher.group(3));
        return address == null || port < 1 || port > 65_535 ? null : new Endpoint(address, port);
    }

    /**
     * Creates an endpoint from {@code 10.0.0.1:80} or {@code [fd00::1]:80}.
     *
     * @throws IllegalArgumentException if the string is not a valid address and port
     */
    public static Endpoint of(String text) {
        Endpoint endpoint = parse(text);
        if (endpoint == null) {
            throw new IllegalArgumentException("'" + text + "' is invalid; must be IP:PORT or [IPv6]:PORT");
        }
        return endpoint;
    }

    @Override
    public String toString() {
        return address.withPort(port);
    }
}
