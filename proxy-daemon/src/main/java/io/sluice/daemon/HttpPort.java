package io.sluice.daemon;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.sluice.model.IpAddress;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.TreeSet;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A port that answers a few GET requests, on threads of its own and never on a forwarding loop. If the port is taken it
 * is tried again every 5 seconds, as kube-proxy does; the daemon goes on meanwhile, unless it is told to fail.
 */
final class HttpPort implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(HttpPort.class);
    static final Duration RETRY = Duration.ofSeconds(5);

    static {
        // Seconds. A client that sends or reads too slowly must not hold one of the few threads.
        System.setProperty("sun.net.httpserver.maxReqTime", "10");
        System.setProperty("sun.net.httpserver.maxRspTime", "30");
    }

    private final String name;
    private final InetSocketAddress wanted;
    private final Map<String, Page> pages;
    private final @Nullable Duration retry;
    private final ExecutorService workers;
    private final ScheduledExecutorService opener;
    private @Nullable HttpServer server;
    private boolean closed;
    private boolean failed;

    /** Answers one path. */
    @FunctionalInterface
    interface Page {
        /** The query is what stands behind the question mark; empty if nothing does. */
        Answer answer(String query) throws IOException;
    }

    /** What goes back. */
    record Answer(int status, String contentType, String body) {
        static Answer text(int status, String text) {
            return new Answer(status, "text/plain; charset=utf-8", text);
        }

        static Answer json(int status, String text) {
            return new Answer(status, "application/json", text);
        }
    }

    /**
     * @param name what the port is for, in log lines
     * @param pages by path
     * @param retry how long to wait before a taken port is tried again; null if it is not
     */
    HttpPort(String name, InetSocketAddress address, Map<String, Page> pages, @Nullable Duration retry) {
        this.retry = retry;
        this.name = name;
        this.wanted = address;
        this.pages = pages;
        this.workers = Executors.newFixedThreadPool(2, task -> daemonThread(task, "sluice-" + name));
        this.opener =
                Executors.newSingleThreadScheduledExecutor(task -> daemonThread(task, "sluice-" + name + "-open"));
    }

    private static Thread daemonThread(Runnable task, String threadName) {
        Thread thread = new Thread(task, threadName);
        thread.setDaemon(true);
        return thread;
    }

    /**
     * Opens the port, now or as soon as it is free.
     *
     * @throws IllegalStateException if it cannot be opened and is not to be tried again
     */
    void start() {
        tryOpen();
    }

    @SuppressWarnings("FutureReturnValueIgnored") // the task catches what opening a port throws
    private synchronized void tryOpen() {
        if (closed) {
            return;
        }
        try {
            HttpServer opened = HttpServer.create(wanted, 0);
            opened.setExecutor(workers);
            opened.createContext("/", this::handle);
            opened.start();
            server = opened;
            log.info("{} on http://{}", name, text(opened.getAddress()));
            opener.shutdown();
        } catch (IOException e) {
            if (retry == null) {
                throw new IllegalStateException(
                        name + " cannot be served on " + text(wanted) + ": " + e.getMessage(), e);
            }
            if (!failed) {
                failed = true;
                log.warn(
                        "{} cannot be served on {}: {}; trying again every {} s",
                        name,
                        text(wanted),
                        e.getMessage(),
                        retry.toSeconds());
            }
            opener.schedule(this::tryOpen, retry.toMillis(), TimeUnit.MILLISECONDS);
        }
    }

    private static String text(InetSocketAddress address) {
        return IpAddress.of(address.getAddress()).withPort(address.getPort());
    }

    private void handle(HttpExchange exchange) throws IOException {
        try (exchange) {
            Answer answer = answer(exchange);
            exchange.getResponseHeaders().set("Content-Type", answer.contentType());
            exchange.getResponseHeaders().set("X-Content-Type-Options", "nosniff");
            byte[] body = answer.body().getBytes(StandardCharsets.UTF_8);
            if (exchange.getRequestMethod().equals("HEAD")) {
                exchange.sendResponseHeaders(answer.status(), -1);
            } else {
                exchange.sendResponseHeaders(answer.status(), body.length == 0 ? -1 : body.length);
                exchange.getResponseBody().write(body);
            }
        }
    }

    private Answer answer(HttpExchange exchange) throws IOException {
        String method = exchange.getRequestMethod();
        if (!method.equals("GET") && !method.equals("HEAD")) {
            return Answer.text(405, "only GET and HEAD\n");
        }
        Page page = pages.get(exchange.getRequestURI().getPath());
        if (page == null) {
            return Answer.text(404, "here are " + String.join(", ", new TreeSet<>(pages.keySet())) + "\n");
        }
        String query = exchange.getRequestURI().getQuery();
        try {
            return page.answer(query == null ? "" : query);
        } catch (RuntimeException e) {
            log.error("{} failed to answer {}", name, exchange.getRequestURI().getPath(), e);
            return Answer.text(500, "internal error, see the log\n");
        }
    }

    /** Where it listens; empty while it does not. */
    synchronized Optional<InetSocketAddress> address() {
        return Optional.ofNullable(server).map(HttpServer::getAddress);
    }

    @Override
    public synchronized void close() {
        closed = true;
        opener.shutdownNow();
        if (server != null) {
            server.stop(0);
            server = null;
        }
        workers.shutdownNow();
    }
}
