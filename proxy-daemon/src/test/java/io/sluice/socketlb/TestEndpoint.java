package io.sluice.socketlb;

import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.Objects;

/** A server that sends its port to each client, and then waits until the client closes the connection. */
final class TestEndpoint implements AutoCloseable {
    private final ServerSocket server;
    private final Thread thread;

    TestEndpoint(int port) throws IOException {
        this(port, "127.0.0.1");
    }

    TestEndpoint(int port, String address) throws IOException {
        server = new ServerSocket();
        server.setReuseAddress(true);
        IpAddress ip = Objects.requireNonNull(IpAddress.parse(address));
        InetAddress bind = ip.toInetAddress();
        server.bind(new java.net.InetSocketAddress(bind, port), 1000);
        thread = new Thread(this::accept, "test-endpoint");
        thread.setDaemon(true);
        thread.start();
    }

    Endpoint endpoint() {
        return new Endpoint(IpAddress.of(server.getInetAddress()), server.getLocalPort());
    }

    private void accept() {
        while (!server.isClosed()) {
            try (Socket client = server.accept()) {
                new DataOutputStream(client.getOutputStream()).writeShort(server.getLocalPort());
                client.getInputStream().read();
            } catch (IOException e) {
                // The client has reset the connection, or the test has ended.
            }
        }
    }

    /** Reads what the server of a connection has sent. */
    static int readPort(Socket client) throws IOException {
        return new DataInputStream(client.getInputStream()).readUnsignedShort();
    }

    @Override
    public void close() throws IOException {
        server.close();
        try {
            thread.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
