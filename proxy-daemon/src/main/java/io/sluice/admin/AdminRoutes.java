package io.sluice.admin;

import io.sluice.http.Page;
import io.sluice.http.Request;
import io.sluice.http.Response;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.databind.json.JsonMapper;

/**
 * Maps requests to the routes of the admin API. On the admin address only GET and HEAD are allowed, and only with a
 * host that cannot belong to a web page of another origin. The Unix socket serves all routes without these checks.
 *
 * <p>Handlers of the admin address run on one thread, those of the Unix socket on another, so that a flood on the address
 * does not delay an operator. The number of requests that wait for each is limited.
 */
public final class AdminRoutes implements Function<Request, Page> {
    private static final Logger log = LoggerFactory.getLogger(AdminRoutes.class);

    /** Number of requests that may wait on the admin address, and on the Unix socket. */
    static final int MAX_WAITING = 64;

    private static final Map<String, String> HEADERS = Map.of(
            "Content-Security-Policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
                    + " frame-ancestors 'none'",
            "Referrer-Policy",
            "no-referrer",
            "Cache-Control",
            "no-store");

    private final List<Matched> routes;
    private final @Nullable HostCheck hosts;
    private final Response overloaded;
    private final Response notFound;

    /** A route and the segments of its path template. */
    private record Matched(AdminRoute route, List<String> template) {
        static Matched of(AdminRoute route) {
            String path = route.path();
            return new Matched(
                    route,
                    path.equals("/") ? List.of() : List.of(path.substring(1).split("/", -1)));
        }

        /** Returns the path parameters; null if the path does not match. */
        @Nullable
        Map<String, String> parameters(List<String> segments) {
            if (segments.size() != template.size()) {
                return null;
            }
            Map<String, String> parameters = new HashMap<>();
            for (int i = 0; i < segments.size(); i++) {
                String expected = template.get(i);
                if (expected.startsWith("{")) {
                    parameters.put(expected.substring(1, expected.length() - 1), segments.get(i));
                } else if (!expected.equals(segments.get(i))) {
                    return null;
                }
            }
            return parameters;
        }
    }

    private AdminRoutes(List<AdminRoute> routes, @Nullable HostCheck hosts) {
        this.routes = routes.stream().map(Matched::of).toList();
        this.hosts = hosts;
        overloaded = error(503, "too many requests are waiting; repeat the request later")
                .withHeaders(Map.of("Retry-After", "1"));
        Set<String> paths = new TreeSet<>();
        // The scripts and styles of the status page would hide the paths of the API.
        routes.stream()
                .map(AdminRoute::path)
                .filter(path -> !path.contains("."))
                .forEach(paths::add);
        notFound = error(404, "unknown path; available: " + String.join(", ", paths));
    }

    /**
     * Creates the router of the admin address, which serves only routes that do not change anything.
     *
     * @param hostNames host names allowed in {@code Host}, in addition to IP addresses and {@code localhost}
     */
    public static AdminRoutes readOnly(List<AdminRoute> routes, List<String> hostNames) {
        return new AdminRoutes(
                routes.stream().filter(route -> !route.isChange()).toList(), new HostCheck(hostNames));
    }

    /** Creates the router of the Unix socket, which serves all routes. */
    public static AdminRoutes forSocket(List<AdminRoute> routes) {
        return new AdminRoutes(routes, null);
    }

    /** Returns the page for a request. Errors of the request are rendered immediately, handlers run later. */
    @Override
    public Page apply(Request request) {
        try {
            return page(request);
        } catch (ApiException e) {
            Response error = error(e.status(), String.valueOf(e.getMessage()));
            return Page.quick(() -> error);
        }
    }

    private Page page(Request request) {
        String method = request.method().equals("HEAD") ? "GET" : request.method();
        if (hosts != null) {
            hosts.check(request);
            if (!method.equals("GET")) {
                return methodNotAllowed(
                        Set.of("GET"), "; changes are possible only on the Unix socket (--admin-socket)");
            }
        }
        if (request.bodyTooLong()) {
            throw new ApiException(413, "the body must not exceed " + Request.MAX_BODY_BYTES + " bytes");
        }
        List<String> segments = UrlDecoder.segments(request.path());
        if (segments == null) {
            return Page.quick(() -> notFound);
        }
        Set<String> methods = new TreeSet<>();
        for (Matched matched : routes) {
            Map<String, String> path = matched.parameters(segments);
            if (path != null) {
                methods.add(matched.route.method());
                if (matched.route.method().equals(method)) {
                    return page(matched.route, path, request);
                }
            }
        }
        return methods.isEmpty() ? Page.quick(() -> notFound) : methodNotAllowed(methods, "");
    }

    private Page page(AdminRoute route, Map<String, String> path, Request request) {
        ApiRequest parsed =
                new ApiRequest(path, UrlDecoder.parameters(request.query(), route.parameters()), request.body());
        if (route.constant()) {
            return Page.quick(() -> handle(route, parsed));
        }
        return hosts == null
                ? Page.privileged(MAX_WAITING, overloaded, () -> handle(route, parsed))
                : Page.perRequest(MAX_WAITING, overloaded, () -> handle(route, parsed));
    }

    private static Response handle(AdminRoute route, ApiRequest request) {
        try {
            return route.handler().apply(request).withHeaders(HEADERS);
        } catch (ApiException e) {
            return error(e.status(), String.valueOf(e.getMessage()));
        } catch (RuntimeException | Error e) {
            log.error(
                    "{} {} failed with an internal error; responding with status 500", route.method(), route.path(), e);
            return error(500, "internal error, see the log");
        }
    }

    private static Page methodNotAllowed(Set<String> methods, String hint) {
        List<String> allowed = new ArrayList<>(methods);
        if (methods.contains("GET")) {
            allowed.add(allowed.indexOf("GET") + 1, "HEAD");
        }
        String list = String.join(", ", allowed);
        Response response =
                error(405, "method not allowed; allowed: " + list + hint).withHeaders(Map.of("Allow", list));
        return Page.quick(() -> response);
    }

    private static Response error(int status, String message) {
        return json(status, Map.of("error", message)).withHeaders(HEADERS);
    }

    /** Returns a response with a value as JSON. */
    static Response json(int status, Object value) {
        return new Response(
                status,
                "application/json",
                Map.of(),
                JsonMapper.shared().writeValueAsString(value).getBytes(StandardCharsets.UTF_8));
    }
}
