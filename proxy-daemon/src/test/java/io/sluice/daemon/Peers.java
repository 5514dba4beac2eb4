package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetSocketAddress;
import java.net.PortUnreachableException;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Endpoints that answer with their address, and clients that connect from given addresses. */
final class Peers implements AutoCloseable {
    /** The answer of a client whose connection was rejected or reset. */
    static final String NO_ANSWER = "no answer";

    private static final int TIMEOUT_MILLIS = 10_000;

    private final Map<Endpoint, NameServer> tcp = new HashMap<>();
    private final Map<Endpoint, DatagramSocket> udp = new HashMap<>();
    private final List<DatagramSocket> clients = new ArrayList<>();

    void serve(Protocol protocol, Endpoint endpoint) throws IOException {
        if (protocol == Protocol.TCP && !tcp.containsKey(endpoint)) {
            String name = endpoint.toString();
            tcp.put(endpoint, new NameServer(endpoint.address().toString(), endpoint.port(), name));
        } else if (protocol == Protocol.UDP && !udp.containsKey(endpoint)) {
            udp.put(endpoint, answering(endpoint));
        }
    }

    private static DatagramSocket answering(Endpoint endpoint) throws IOException {
        DatagramSocket socket = new DatagramSocket(endpoint.address().toSocketAddress(endpoint.port()));
        Thread thread = new Thread(() -> answerAll(socket, endpoint.toString()), "name-server");
        thread.setDaemon(true);
        thread.start();
        return socket;
    }

    private static void answerAll(DatagramSocket socket, String name) {
        byte[] answer = name.getBytes(StandardCharsets.UTF_8);
        DatagramPacket query = new DatagramPacket(new byte[100], 100);
        try {
            while (!socket.isClosed()) {
                socket.receive(query);
                socket.send(new DatagramPacket(answer, answer.length, query.getSocketAddress()));
            }
        } catch (IOException e) {
            assertThat(socket.isClosed()).as(e.toString()).isTrue();
        }
    }

    /** Returns the endpoint that answers a connection, or {@link #NO_ANSWER}. */
    static String overTcp(IpAddress from, InetSocketAddress to) throws IOException {
        try (Socket client = new Socket()) {
            client.bind(from.toSocketAddress(0));
            client.setSoTimeout(TIMEOUT_MILLIS);
            try {
                client.connect(to, TIMEOUT_MILLIS);
                return new String(client.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            } catch (SocketException refusedOrReset) {
                return NO_ANSWER;
            }
        }
    }

    /** Returns the endpoint that answers a datagram, or {@link #NO_ANSWER}. */
    String overUdp(IpAddress from, InetSocketAddress to) throws IOException {
        return answer(asking(from, to));
    }

    /** Returns a client that has sent a datagram; it stays open until this object is closed. */
    DatagramSocket asking(IpAddress from, InetSocketAddress to) throws IOException {
        DatagramSocket client = new DatagramSocket(from.toSocketAddress(0));
        clients.add(client);
        client.setSoTimeout(TIMEOUT_MILLIS);
        client.connect(to);
        client.send(new DatagramPacket(new byte[1], 1));
        return client;
    }

    static String answer(DatagramSocket client) throws IOException {
        DatagramPacket answer = new DatagramPacket(new byte[100], 100);
        try {
            client.receive(answer);
        } catch (PortUnreachableException e) {
            return NO_ANSWER;
        }
        return new String(answer.getData(), 0, answer.getLength(), StandardCharsets.UTF_8);
    }

    @Override
    public void close() throws IOException {
        for (NameServer server : tcp.values()) {
            server.close();
        }
        udp.values().forEach(DatagramSocket::close);
        clients.forEach(DatagramSocket::close);
    }
}
