package io.sluice.http;

import java.util.Map;
import java.util.TreeSet;
import java.util.function.Function;

/** Maps GET and HEAD requests to pages by exact path. Responds 404 to unknown paths and 405 to other methods. */
public final class Routes implements Function<Request, Page> {
    private static final Page METHOD_NOT_ALLOWED = Page.quick(() -> new Response(
            405,
            "text/plain; charset=utf-8",
            Map.of("Allow", "GET, HEAD"),
            Response.text(405, "method not allowed; allowed: GET, HEAD\n").body()));

    private final Map<String, Function<Request, Page>> pages;
    private final Page notFound;

    /**
     * Creates a router.
     *
     * @param pages map from path to a function that returns the page for a request
     */
    public Routes(Map<String, Function<Request, Page>> pages) {
        this.pages = Map.copyOf(pages);
        Response response =
                Response.text(404, "not found; available: " + String.join(", ", new TreeSet<>(pages.keySet())) + "\n");
        notFound = Page.quick(() -> response);
    }

    @Override
    public Page apply(Request request) {
        if (!request.method().equals("GET") && !request.method().equals("HEAD")) {
            return METHOD_NOT_ALLOWED;
        }
        Function<Request, Page> page = pages.get(request.path());
        return page == null ? notFound : page.apply(request);
    }
}
