package io.sluice.http;

import io.sluice.thread.Supervisor;
import io.sluice.thread.Worker;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.Consumer;

/**
 * Renders pages: quick ones immediately, others on one of three threads. Thus neither a flood of requests for pages that
 * are rendered for each request, nor a page that is slow, delays the pages of the other threads or of the event loop.
 */
final class PageRenderer implements AutoCloseable {
    private final Executor clients;
    private final RenderThread shared;
    private final RenderThread perRequest;
    private final RenderThread privileged;
    private final SlowPages sharedPages;

    /** A thread that runs renderings one after the other. */
    private static final class RenderThread implements AutoCloseable {
        final BlockingQueue<Runnable> waiting = new LinkedBlockingQueue<>();
        private final Worker worker;

        RenderThread(Supervisor supervisor, String name) {
            worker = supervisor.loop(name, this::renderAll);
        }

        private void renderAll() throws InterruptedException {
            while (true) {
                waiting.take().run();
            }
        }

        @Override
        public void close() {
            worker.close();
        }
    }

    /**
     * Starts the threads.
     *
     * @param clients executor that delivers responses to clients: the event loop
     */
    PageRenderer(Supervisor supervisor, Executor clients) {
        this.clients = clients;
        shared = new RenderThread(supervisor, "sluice-pages");
        perRequest = new RenderThread(supervisor, "sluice-admin");
        privileged = new RenderThread(supervisor, "sluice-operator");
        sharedPages = new SlowPages(shared.waiting::add, clients);
    }

    /** Renders a page and passes the response to the client. Must be called on the event loop. */
    void render(Page page, Consumer<Response> client) {
        switch (page.rendering()) {
            case LOOP -> client.accept(page.render());
            case SHARED -> sharedPages.request(page, client);
            case PER_REQUEST -> renderForRequest(perRequest, page, client);
            case PRIVILEGED -> renderForRequest(privileged, page, client);
        }
    }

    /** Renders a page later, unless too many requests wait. Only the event loop adds to the queue. */
    private void renderForRequest(RenderThread thread, Page page, Consumer<Response> client) {
        if (thread.waiting.size() >= page.maxWaiting()) {
            client.accept(page.overloaded());
            return;
        }
        thread.waiting.add(() -> {
            Response response = page.render();
            clients.execute(() -> client.accept(response));
        });
    }

    @Override
    public void close() {
        shared.close();
        perRequest.close();
        privileged.close();
    }
}
