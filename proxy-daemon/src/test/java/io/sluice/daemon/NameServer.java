package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.demo.DemoServers;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;

/** A TCP server that sends its name to every client and closes the connection. */
public final class NameServer implements AutoCloseable {
    private final ServerSocket socket;
    private final String name;
    private final Thread thread = new Thread(this::serve, "name-server");

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
                // The server was closed, or the client has closed its connection and checks the result itself.
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

    /** Returns a port that the kernel chose and that is free on the address, for TCP and UDP. */
    public static int freePort(String address) throws IOException {
        try (ServerSocket any = new ServerSocket(0, 1, InetAddress.getByName(address))) {
            return DemoServers.freePort(any.getLocalPort(), address);
        }
    }

    /** Returns the name of the server that answers at an address. */
    public static String ask(String address, int port) throws IOException {
        try (Socket client = new Socket(address, port)) {
            client.setSoTimeout((int) RunIT.TIMEOUT.toMillis());
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
