package io.sluice.http;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.thread.Supervisor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Counts the pipelined requests of other clients that are answered before the first request of a new client. */
@Timeout(60)
final class HttpFairnessTest {
    private static final int CLIENTS = 14;
    /** Few enough for a single read. */
    private static final int PIPELINED = 25;
    /** Netty reads the clock after 64 tasks, which take longer than the loop's time limit for tasks. */
    private static final long RENDER_NANOS = TimeUnit.MICROSECONDS.toNanos(50);

    private final HttpServer server = new HttpServer(new Supervisor(), 2 * CLIENTS);
    private final List<Socket> sockets = new ArrayList<>();
    private final HttpPort port = new HttpPort(
            server, "test", new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), request -> page(request));
    /** Number of answered pipelined requests. On the loop. */
    private int answered;
    /** Number of answers after which {@link #connect} runs on the loop. */
    private int connectAt = -1;

    private Runnable connect = () -> {};

    private Page page(Request request) {
        if (request.path().equals("/answered")) {
            return Page.quick(() -> Response.text(200, Integer.toString(answered)));
        }
        return Page.quick(() -> {
            answered++;
            if (answered == connectAt) {
                connect.run();
            }
            long start = System.nanoTime();
            while (System.nanoTime() - start < RENDER_NANOS) {
                Thread.onSpinWait();
            }
            return Response.text(200, "");
        });
    }

    @BeforeEach
    void start() {
        port.start();
    }

    @AfterEach
    void close() throws IOException {
        for (Socket socket : sockets) {
            socket.close();
        }
        server.close();
    }

    /** The kernel completes the connect, so this does not block the loop. */
    private Socket send(String request) {
        try {
            Socket socket = new Socket();
            sockets.add(socket);
            socket.setSoTimeout(20_000);
            socket.connect(port.address().orElseThrow());
            socket.getOutputStream().write(request.getBytes(US_ASCII));
            return socket;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void sendPipelined() {
        for (int i = 0; i < CLIENTS; i++) {
            send("GET / HTTP/1.1\r\n\r\n".repeat(PIPELINED));
        }
    }

    private Socket requestAnsweredCount() {
        return send("GET /answered HTTP/1.0\r\n\r\n");
    }

    private static int number(Socket client) throws IOException {
        String response = new String(client.getInputStream().readAllBytes(), US_ASCII);
        return Integer.parseInt(response.substring(response.indexOf("\r\n\r\n") + 4));
    }

    @Test
    void acceptsWaitingClientsBeforeAnsweringSecondRequests() throws Exception {
        CompletableFuture<Socket> last = new CompletableFuture<>();
        server.run(() -> {
            sendPipelined();
            last.complete(requestAnsweredCount());
        });
        assertThat(number(last.join())).isLessThanOrEqualTo(CLIENTS);
    }

    @Test
    void servesANewClientBeforeAllPipelinedRequests() throws Exception {
        CompletableFuture<Socket> late = new CompletableFuture<>();
        server.run(() -> {
            connectAt = 2 * CLIENTS;
            connect = () -> late.complete(requestAnsweredCount());
            sendPipelined();
        });
        assertThat(number(late.join())).isBetween(connectAt, CLIENTS * PIPELINED - 1);
    }
}
