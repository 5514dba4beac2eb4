package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;

/** A server that tells every client its name and hangs up; tells at the end whether anything went wrong. */
public final class NameServer implements AutoCloseable {
    private final ServerSocket socket;
    private final String name;
    private final Thread thread = new Thread(this::serve, "named-server");

    public NameServer(String address, int port, String name) throws IOException {
        socket = new ServerSocket(port, 500, InetAddress.getByName(address));
        this.name = name;
        thread.start();
    }

    public int port() {
        return socket.getLocalPort();
    }

    private void serve() {
        while (!socket.isClosed()) {
            try {
                answerOne();
            } catch (SocketException e) {
                // Closed, or the client is gone already; the client knows whether that was all right.
                assertThat(e).hasMessageNotContaining("Too many open files");
            } catch (IOException e) {
                throw new AssertionError(e);
            }
        }
    }

    private void answerOne() throws IOException {
        try (Socket client = socket.accept()) {
            client.getOutputStream().write(name.getBytes(StandardCharsets.UTF_8));
        }
    }

    /** The name of whoever answers there. */
    public static String ask(String address, int port) throws IOException {
        try (Socket client = new Socket(address, port)) {
            client.setSoTimeout((int) RunIT.PATIENCE.toMillis());
            return new String(client.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    @Override
    public void close() throws IOException {
        socket.close();
        try {
            thread.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
