package io.sluice.http;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.function.Consumer;

/**
 * Renders slow pages one after the other. Requests waiting for the same page share a response, so the queue never holds
 * more renderings than there are pages.
 */
final class SlowPages {
    private final Executor renderer;
    private final Executor clients;
    /** Clients waiting for each page that has not begun to render. Guarded by itself. */
    private final Map<Page, List<Consumer<Response>>> waiting = new HashMap<>();

    /**
     * Creates a renderer.
     *
     * @param renderer executor that runs one rendering at a time
     * @param clients executor that delivers responses to clients
     */
    SlowPages(Executor renderer, Executor clients) {
        this.renderer = renderer;
        this.clients = clients;
    }

    /** Renders the page after this call, so that its content is current, and passes the response to the client. */
    void request(Page page, Consumer<Response> client) {
        synchronized (waiting) {
            List<Consumer<Response>> others = waiting.get(page);
            if (others != null) {
                others.add(client);
                return;
            }
            waiting.put(page, new ArrayList<>(List.of(client)));
        }
        renderer.execute(() -> render(page));
    }

    private void render(Page page) {
        List<Consumer<Response>> receivers;
        synchronized (waiting) {
            receivers = waiting.remove(page);
        }
        Response response = page.render();
        if (receivers != null) {
            clients.execute(() -> receivers.forEach(client -> client.accept(response)));
        }
    }
}
