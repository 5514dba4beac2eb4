package io.sluice.apiserver;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.http.HttpResponse;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** Plain HTTP server on loopback in front of a real API server, with an administrator's token: a {@code kubectl proxy}. */
public final class KubectlProxy implements AutoCloseable {
    private final RealControlPlane plane;
    private final HttpServer server;
    private final ExecutorService threads = Executors.newCachedThreadPool();

    public KubectlProxy(RealControlPlane plane) throws IOException {
        this.plane = plane;
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(threads);
        server.createContext("/", this::forward);
        server.start();
    }

    public String url() {
        return "http://localhost:" + server.getAddress().getPort();
    }

    private void forward(HttpExchange exchange) throws IOException {
        HttpResponse<InputStream> response = plane.open(
                exchange.getRequestMethod(),
                exchange.getRequestURI().toString(),
                exchange.getRequestBody().readAllBytes());
        for (String name : new String[] {"Content-Type", "Content-Security-Policy"}) {
            response.headers()
                    .firstValue(name)
                    .ifPresent(value -> exchange.getResponseHeaders().set(name, value));
        }
        exchange.sendResponseHeaders(response.statusCode(), 0);
        try (exchange;
                InputStream from = response.body();
                OutputStream to = exchange.getResponseBody()) {
            byte[] buffer = new byte[8192];
            for (int read = from.read(buffer); read >= 0; read = from.read(buffer)) {
                to.write(buffer, 0, read);
                to.flush();
            }
        }
    }

    @Override
    public void close() {
        server.stop(0);
        threads.shutdownNow();
    }
}
