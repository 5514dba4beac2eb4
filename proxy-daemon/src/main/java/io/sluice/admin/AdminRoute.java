package io.sluice.admin;

import io.sluice.http.Response;
import java.util.Set;
import java.util.function.Function;

/**
 * A method and path of the admin API. A route with a method other than GET changes something and is therefore served
 * only on the Unix socket.
 *
 * @param method {@code GET}, which also serves HEAD, {@code POST} or {@code PUT}
 * @param path path template; a segment in braces is a path parameter, such as {@code /api/v1/services/{namespace}}
 * @param parameters names of the query parameters; a request with any other is an error
 * @param handler function from a request to its response; may throw {@link ApiException}
 * @param constant whether the response is always the same, so that the event loop can send it at once
 */
public record AdminRoute(
        String method, String path, Set<String> parameters, Function<ApiRequest, Response> handler, boolean constant) {
    /** Creates a route whose response depends on the request or the state of the process. */
    public AdminRoute(String method, String path, Set<String> parameters, Function<ApiRequest, Response> handler) {
        this(method, path, parameters, handler, false);
    }

    /** Creates a route that only reads. */
    public static AdminRoute get(String path, Set<String> parameters, Function<ApiRequest, Response> handler) {
        return new AdminRoute("GET", path, parameters, handler);
    }

    /** Creates a route that always has the same response. */
    public static AdminRoute constant(String path, Response response) {
        return new AdminRoute("GET", path, Set.of(), request -> response, true);
    }

    /** Returns whether the route changes something. */
    public boolean isChange() {
        return !method.equals("GET");
    }
}
