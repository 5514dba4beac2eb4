package io.sluice.http;

import java.util.concurrent.Callable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Something that can be asked for, rendered afresh for each request. */
public final class Page {
    private static final Logger log = LoggerFactory.getLogger(Page.class);

    private final Callable<Response> content;
    private final boolean slow;

    private Page(Callable<Response> content, boolean slow) {
        this.content = content;
        this.slow = slow;
    }

    /** Rendered on the server's event loop: must not block, and costs the same however much is served. */
    public static Page quick(Callable<Response> content) {
        return new Page(content, false);
    }

    /**
     * Rendered on a thread of its own, one at a time. All clients that ask for this page before it is rendered get the
     * same response, so any number of them costs no more than one.
     */
    public static Page slow(Callable<Response> content) {
        return new Page(content, true);
    }

    boolean isSlow() {
        return slow;
    }

    /** Renders it on the caller's thread. A failure becomes status 500 and a log line. */
    public Response render() {
        try {
            return content.call();
        } catch (Exception | Error e) {
            log.error("a page cannot be rendered", e);
            return Response.text(500, "internal error, see the log\n");
        }
    }
}
