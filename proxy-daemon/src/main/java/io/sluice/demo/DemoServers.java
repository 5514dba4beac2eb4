package io.sluice.demo;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Endpoints of the demo's Services: three HTTP servers and three UDP servers that reply with their name. Servers with
 * the same number share a loopback address, as the containers of a pod share an IP address.
 */
public final class DemoServers implements AutoCloseable {
    static final int COUNT = 3;

    private final List<HttpServer> http = new ArrayList<>();
    private final List<DatagramSocket> udp = new ArrayList<>();
    private final int httpPort;
    private final int udpPort;

    DemoServers() throws IOException {
        httpPort = freePort(8080, "127.10.0.1", "127.10.0.2", "127.10.0.3");
        udpPort = freePort(5300, "127.10.0.1", "127.10.0.2", "127.10.0.3");
        try {
            for (int i = 1; i <= COUNT; i++) {
                http.add(http("web-" + i, new InetSocketAddress(address(i), httpPort)));
                udp.add(udp("dns-" + i, new InetSocketAddress(address(i), udpPort)));
            }
        } catch (IOException e) {
            close();
            throw e;
        }
    }

    /** Returns the address of a server, counted from 1. */
    static String address(int number) {
        return "127.10.0." + number;
    }

    int httpPort() {
        return httpPort;
    }

    int udpPort() {
        return udpPort;
    }

    /** Returns the wanted port if it is free on all addresses for TCP and UDP, otherwise another port that is free. */
    public static int freePort(int wanted, String... addresses) throws IOException {
        int port = wanted;
        for (int attempt = 0; attempt < 20; attempt++) {
            if (isFree(port, addresses)) {
                return port;
            }
            try (ServerSocket any = new ServerSocket(0, 1, new InetSocketAddress(addresses[0], 0).getAddress())) {
                port = any.getLocalPort();
            }
        }
        throw new IOException("no port is free on " + String.join(", ", addresses));
    }

    private static boolean isFree(int port, String... addresses) {
        for (String address : addresses) {
            InetSocketAddress socketAddress = new InetSocketAddress(address, port);
            try (ServerSocket tcp = new ServerSocket(port, 1, socketAddress.getAddress());
                    DatagramSocket datagrams = new DatagramSocket(socketAddress)) {
                if (!tcp.isBound() || !datagrams.isBound()) {
                    return false;
                }
            } catch (IOException e) {
                // The port is in use, which is an expected result.
                return false;
            }
        }
        return true;
    }

    private static HttpServer http(String name, InetSocketAddress address) throws IOException {
        HttpServer server = HttpServer.create(address, 0);
        server.createContext("/", exchange -> answer(exchange, name));
        server.start();
        return server;
    }

    private static void answer(HttpExchange exchange, String name) throws IOException {
        try (exchange) {
            byte[] body = (name + "\n").getBytes(StandardCharsets.UTF_8);
            exchange.getResponseHeaders().set("Content-Type", "text/plain");
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
        }
    }

    private static DatagramSocket udp(String name, InetSocketAddress address) throws IOException {
        DatagramSocket socket = new DatagramSocket(address);
        Thread thread = new Thread(() -> answerAll(socket, name), "demo-" + name);
        thread.setDaemon(true);
        thread.start();
        return socket;
    }

    private static void answerAll(DatagramSocket socket, String name) {
        byte[] buffer = new byte[2048];
        byte[] answer = name.getBytes(StandardCharsets.UTF_8);
        while (!socket.isClosed()) {
            DatagramPacket query = new DatagramPacket(buffer, buffer.length);
            try {
                socket.receive(query);
                socket.send(new DatagramPacket(answer, answer.length, query.getSocketAddress()));
            } catch (IOException e) {
                if (!socket.isClosed()) {
                    throw new UncheckedIOException(e);
                }
            }
        }
    }

    @Override
    public void close() {
        http.forEach(server -> server.stop(0));
        udp.forEach(DatagramSocket::close);
    }
}
