package io.sluice.forward;

import io.sluice.model.Endpoint;
import java.io.Closeable;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** TCP server on loopback that handles every connection in the same simple way. */
final class EndpointServer implements Closeable {
    enum Kind {
        /** Sends its name and closes. */
        NAME,
        /** Echoes all bytes until the client sends FIN, then closes. */
        ECHO,
        /** Hands the connection to the test; see {@link EndpointServer#next}. */
        MANUAL
    }

    final String name;
    final AtomicInteger accepted = new AtomicInteger();
    private final Kind kind;
    private final ServerSocket server;
    private final Thread acceptor;
    private final BlockingQueue<Socket> handedOver = new LinkedBlockingQueue<>();

    EndpointServer(String name, Kind kind) throws IOException {
        this(name, kind, Lab.ip("127.0.0.1").toInetAddress());
    }

    EndpointServer(String name, Kind kind, InetAddress address) throws IOException {
        this.name = name;
        this.kind = kind;
        server = new ServerSocket(0, 512, address);
        acceptor = start(this::acceptAll);
    }

    Endpoint endpoint() {
        return new Endpoint(Lab.ip(server.getInetAddress().getHostAddress()), server.getLocalPort());
    }

    /** Gives later connections a small receive buffer. */
    void setSmallReceiveBuffer() throws IOException {
        server.setReceiveBufferSize(4 << 10);
    }

    Socket next() throws InterruptedException {
        Socket socket = handedOver.poll(20, TimeUnit.SECONDS);
        if (socket == null) {
            throw new AssertionError("no connection reached " + endpoint());
        }
        return socket;
    }

    private static Thread start(Runnable task) {
        Thread thread = new Thread(task, "endpoint-server");
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    private void acceptAll() {
        while (!server.isClosed()) {
            try {
                Socket socket = server.accept();
                accepted.incrementAndGet();
                if (kind == Kind.NAME) {
                    serve(socket);
                } else if (kind == Kind.ECHO) {
                    start(() -> serve(socket));
                } else {
                    handedOver.add(socket);
                }
            } catch (IOException e) {
                // The test closed the server.
                return;
            }
        }
    }

    private void serve(Socket socket) {
        try (socket;
                OutputStream out = socket.getOutputStream()) {
            if (kind == Kind.NAME) {
                out.write(name.getBytes(StandardCharsets.UTF_8));
                return;
            }
            socket.getInputStream().transferTo(out);
        } catch (IOException e) {
            // The test reset the connection.
            accepted.get();
        }
    }

    /** Closes the port and waits for the acceptor, because the port stays open while it is in accept. */
    @Override
    public void close() throws IOException {
        server.close();
        try {
            acceptor.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        for (Socket socket = handedOver.poll(); socket != null; socket = handedOver.poll()) {
            socket.close();
        }
    }
}
