package io.sluice.http;

import java.util.concurrent.Callable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Source of responses: renders a new {@link Response} for each request. */
public final class Page {
    private static final Logger log = LoggerFactory.getLogger(Page.class);

    private final Callable<Response> content;
    private final boolean slow;

    private Page(Callable<Response> content, boolean slow) {
        this.content = content;
        this.slow = slow;
    }

    /** Creates a page for the event loop. Rendering must not block or slow down with the number of Services. */
    public static Page quick(Callable<Response> content) {
        return new Page(content, false);
    }

    /**
     * Creates a page that is rendered on a separate thread, one page at a time. All requests waiting when rendering
     * begins share the response, so many requests cost no more than one.
     */
    public static Page slow(Callable<Response> content) {
        return new Page(content, true);
    }

    boolean isSlow() {
        return slow;
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
