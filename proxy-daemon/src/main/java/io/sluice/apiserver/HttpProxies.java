package io.sluice.apiserver;

import io.sluice.model.Cidr;
import io.sluice.model.IpAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** HTTP proxy settings from the kubeconfig or, as in Go, from the environment. */
final class HttpProxies {
    private static final int DEFAULT_PORT = 80;

    private HttpProxies() {}

    /**
     * Returns the address in the URL of a proxy.
     *
     * @param place setting or field that holds the URL, shown in messages
     */
    static InetSocketAddress of(String place, String url) throws ApiAccessException {
        URI uri;
        try {
            uri = URI.create(url.contains("://") ? url : "http://" + url);
        } catch (IllegalArgumentException e) {
            throw new ApiAccessException(place + ": must be a URL such as http://proxy:3128");
        }
        String scheme = String.valueOf(uri.getScheme()).toLowerCase(Locale.ROOT);
        if (!scheme.equals("http")) {
            throw new ApiAccessException(place + ": proxies of type " + scheme + " are not supported;"
                    + " use a URL such as http://proxy:3128");
        }
        if (uri.getUserInfo() != null) {
            throw new ApiAccessException(place + ": a proxy with a password is not supported");
        }
        if (uri.getHost() == null) {
            throw new ApiAccessException(place + ": must be a URL such as http://proxy:3128");
        }
        int port = uri.getPort() < 0 ? DEFAULT_PORT : uri.getPort();
        return InetSocketAddress.createUnresolved(uri.getHost(), port);
    }

    /** The proxy for a server according to the environment variables; null for none. */
    static @Nullable InetSocketAddress fromEnvironment(URI server, Map<String, String> environment)
            throws ApiAccessException {
        String name = server.getScheme().toUpperCase(Locale.ROOT) + "_PROXY";
        String url = environmentVariable(environment, name);
        String host = server.getHost().replaceAll("[\\[\\]]", "").toLowerCase(Locale.ROOT);
        return url.isEmpty() || bypassesProxy(host, environmentVariable(environment, "NO_PROXY"))
                ? null
                : of(name, url);
    }

    private static String environmentVariable(Map<String, String> environment, String name) {
        String text = environment.getOrDefault(name, "");
        return (text.isBlank() ? environment.getOrDefault(name.toLowerCase(Locale.ROOT), "") : text).strip();
    }

    private static boolean bypassesProxy(String host, String noProxy) {
        IpAddress address = IpAddress.parse(host);
        if (host.equals("localhost") || (address != null && address.isLoopback())) {
            return true;
        }
        for (String each : noProxy.toLowerCase(Locale.ROOT).split(",")) {
            String entry = each.strip();
            if (entry.equals("*") || (address == null ? matchesEntry(host, entry) : matchesEntry(address, entry))) {
                return true;
            }
        }
        return false;
    }

    private static boolean matchesEntry(IpAddress address, String entry) {
        Cidr range = Cidr.parse(entry);
        return range == null ? address.equals(IpAddress.parse(entry)) : range.contains(address);
    }

    /**
     * Whether a NO_PROXY entry covers a host. A domain covers itself and its subdomains; with a leading dot, it covers
     * only its subdomains.
     */
    private static boolean matchesEntry(String host, String entry) {
        String domain = entry.replaceFirst(":\\d+$", "").replaceFirst("^\\*\\.", ".");
        return !domain.isEmpty()
                && (host.equals(domain) || host.endsWith(domain.startsWith(".") ? domain : "." + domain));
    }
}
