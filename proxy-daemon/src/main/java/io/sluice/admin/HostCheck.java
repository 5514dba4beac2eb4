package io.sluice.admin;

import io.sluice.http.Request;
import io.sluice.model.IpAddress;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Rejects requests that a browser sends for a web page of another origin. A page can make its own host name resolve to
 * this machine (DNS rebinding), but the browser then sends that name in {@code Host}.
 */
final class HostCheck {
    private static final Pattern HOST = Pattern.compile("(\\[(?<v6>[^\\]]*)\\]|(?<name>[^:\\[\\]]+))(:\\d{0,5})?");

    private final Set<String> names = new HashSet<>(Set.of("localhost"));

    /** @param names host names allowed in addition to IP addresses and {@code localhost} */
    HostCheck(List<String> names) {
        names.forEach(name -> this.names.add(name.toLowerCase(Locale.ROOT)));
    }

    /** @throws ApiException with status 421 if the host is not allowed, or 403 if the request is cross-site */
    void check(Request request) {
        if (!isAllowed(request.header("Host"))) {
            throw new ApiException(
                    421, "the header Host must be an IP address, 'localhost' or a host name given by --admin-host");
        }
        if (request.header("Sec-Fetch-Site").strip().equalsIgnoreCase("cross-site")) {
            throw new ApiException(403, "requests by web pages of other sites are not allowed");
        }
    }

    private boolean isAllowed(String host) {
        Matcher matcher = HOST.matcher(host);
        if (!matcher.matches()) {
            return false;
        }
        String v6 = matcher.group("v6");
        if (v6 != null) {
            return v6.indexOf(':') >= 0 && IpAddress.parse(v6) != null;
        }
        String name = matcher.group("name").toLowerCase(Locale.ROOT);
        return names.contains(name) || IpAddress.parse(name) != null;
    }
}
