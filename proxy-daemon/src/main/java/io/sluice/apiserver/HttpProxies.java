package io.sluice.apiserver;

import io.sluice.model.Cidr;
import io.sluice.model.IpAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Which HTTP proxy leads to a server: that of the kubeconfig, else that of the environment, read as Go reads it. */
final class HttpProxies {
    private static final int DEFAULT_PORT = 80;

    private HttpProxies() {}

    /**
     * The proxy a URL names.
     *
     * @param place who names it, for people
     */
    static InetSocketAddress of(String place, String url) throws ApiAccessException {
        URI uri;
        try {
            uri = URI.create(url.contains("://") ? url : "http://" + url);
        } catch (IllegalArgumentException e) {
            throw new ApiAccessException(place + ": is not a URL such as http://proxy:3128");
        }
        String scheme = String.valueOf(uri.getScheme()).toLowerCase(Locale.ROOT);
        if (!scheme.equals("http")) {
            throw new ApiAccessException(place + ": a proxy that is reached by " + scheme
                    + " is not supported; give one such as http://proxy:3128");
        }
        if (uri.getUserInfo() != null) {
            throw new ApiAccessException(place + ": a proxy that wants a password is not supported");
        }
        if (uri.getHost() == null) {
            throw new ApiAccessException(place + ": is not a URL such as http://proxy:3128");
        }
        int port = uri.getPort() < 0 ? DEFAULT_PORT : uri.getPort();
        return InetSocketAddress.createUnresolved(uri.getHost(), port);
    }

    /** The proxy the environment names for a server; null for none. */
    static @Nullable InetSocketAddress fromEnvironment(URI server, Map<String, String> environment)
            throws ApiAccessException {
        String name = server.getScheme().toUpperCase(Locale.ROOT) + "_PROXY";
        String url = variable(environment, name);
        String host = server.getHost().replaceAll("[\\[\\]]", "").toLowerCase(Locale.ROOT);
        return url.isEmpty() || isDirect(host, variable(environment, "NO_PROXY")) ? null : of(name, url);
    }

    private static String variable(Map<String, String> environment, String name) {
        String text = environment.getOrDefault(name, "");
        return (text.isBlank() ? environment.getOrDefault(name.toLowerCase(Locale.ROOT), "") : text).strip();
    }

    private static boolean isDirect(String host, String noProxy) {
        IpAddress address = IpAddress.parse(host);
        if (host.equals("localhost") || (address != null && address.isLoopback())) {
            return true;
        }
        for (String each : noProxy.toLowerCase(Locale.ROOT).split(",")) {
            String entry = each.strip();
            if (entry.equals("*") || (address == null ? isIn(host, entry) : isIn(address, entry))) {
                return true;
            }
        }
        return false;
    }

    private static boolean isIn(IpAddress address, String entry) {
        Cidr range = Cidr.parse(entry);
        return range == null ? address.equals(IpAddress.parse(entry)) : range.contains(address);
    }

    /** A domain stands for itself and what is below, one with a dot before it only for the latter. */
    private static boolean isIn(String host, String entry) {
        String domain = entry.replaceFirst(":\\d+$", "").replaceFirst("^\\*\\.", ".");
        return !domain.isEmpty()
                && (host.equals(domain) || host.endsWith(domain.startsWith(".") ? domain : "." + domain));
    }
}
