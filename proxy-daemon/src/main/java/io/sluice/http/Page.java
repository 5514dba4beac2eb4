package io.sluice.http;

import java.util.concurrent.Callable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Source of responses: renders a new {@link Response} for each request. */
public final class Page {
    private static final Logger log = LoggerFactory.getLogger(Page.class);

    /** Thread that renders a page. */
    enum Rendering {
        /** The event loop of the server. */
        LOOP,
        /** A thread for pages whose waiting requests share a response. */
        SHARED,
        /** A thread for pages that are rendered for each request. */
        PER_REQUEST,
        /** A thread of the same kind for clients that the others must not delay. */
        PRIVILEGED
    }

    private final Rendering rendering;
    private final Callable<Response> content;
    private final int maxWaiting;
    private final Response overloaded;

    private Page(Rendering rendering, Callable<Response> content, int maxWaiting, Response overloaded) {
        this.rendering = rendering;
        this.content = content;
        this.maxWaiting = maxWaiting;
        this.overloaded = overloaded;
    }

    private static Page unlimited(Rendering rendering, Callable<Response> content) {
        return new Page(rendering, content, Integer.MAX_VALUE, Response.text(503, "too many requests\n"));
    }

    /** Creates a page for the event loop. Rendering must not block or slow down with the number of Services. */
    public static Page quick(Callable<Response> content) {
        return unlimited(Rendering.LOOP, content);
    }

    /**
     * Creates a page that is rendered on a separate thread, one page at a time. All requests waiting when rendering
     * begins share the response, so many requests cost no more than one.
     */
    public static Page slow(Callable<Response> content) {
        return unlimited(Rendering.SHARED, content);
    }

    /**
     * Creates a page for one request, whose response depends on its parameters. All such pages are rendered on one
     * thread, one at a time, which is not the thread of {@link #slow} pages.
     *
     * @param maxWaiting number of requests that may wait for this thread; beyond it, the response is {@code overloaded}
     */
    public static Page perRequest(int maxWaiting, Response overloaded, Callable<Response> content) {
        return new Page(Rendering.PER_REQUEST, content, maxWaiting, overloaded);
    }

    /** Creates a page like {@link #perRequest}, but for clients that the others must not delay; it has its own thread. */
    public static Page privileged(int maxWaiting, Response overloaded, Callable<Response> content) {
        return new Page(Rendering.PRIVILEGED, content, maxWaiting, overloaded);
    }

    Rendering rendering() {
        return rendering;
    }

    int maxWaiting() {
        return maxWaiting;
    }

    Response overloaded() {
        return overloaded;
    }

    /** Renders the page on the caller's thread. A failure is logged and produces a response with status 500. */
    public Response render() {
        try {
            return content.call();
        } catch (Exception | Error e) {
            log.error("failed to render a page; responding with status 500", e);
            return Response.text(500, "internal error, see the log\n");
        }
    }
}
