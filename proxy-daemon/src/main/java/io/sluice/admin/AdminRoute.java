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
 * @param handler function from a request to its response, called on one thread for all routes; may throw {@link
 *     ApiException}
 */
public record AdminRoute(String method, String path, Set<String> parameters, Function<ApiRequest, Response> handler) {

    /** Creates a route that only reads. */
    public static AdminRoute get(String path, Set<String> parameters, Function<ApiRequest, Response> handler) {
        return new AdminRoute("GET", path, parameters, handler);
    }

    /** Returns whether the route changes something. */
    public boolean isChange() {
        return !method.equals("GET");
    }
}
