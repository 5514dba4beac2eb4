package io.sluice.demo;

import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;

/** A client of the demo's Services. It sends each request from a new port. */
final class DemoClient {
    /** Result of a request that got no valid response. */
    static final String NO_ANSWER = "no answer";

    private static final int TIMEOUT_MILLIS = 3_000;

    private DemoClient() {}

    /** Sends an HTTP request on a new connection; returns the name of the server, or {@link #NO_ANSWER}. */
    static String tcp(InetSocketAddress service) {
        try (Socket socket = new Socket()) {
            socket.connect(service, TIMEOUT_MILLIS);
            socket.setSoTimeout(TIMEOUT_MILLIS);
            String request = "GET / HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n";
            socket.getOutputStream().write(request.getBytes(StandardCharsets.US_ASCII));
            String response = new String(socket.getInputStream().readAllBytes(), StandardCharsets.US_ASCII);
            boolean complete = response.startsWith("HTTP/1.1 200 ") && response.endsWith("\n");
            return complete ? response.strip().substring(response.strip().lastIndexOf('\n') + 1) : NO_ANSWER;
        } catch (IOException e) {
            // Shown to the user as a missing answer.
            return NO_ANSWER;
        }
    }

    /** Opens a socket on a new port. Keep it open, so that no later client reuses the port and thus the UDP flow. */
    static DatagramSocket udpSocket() throws IOException {
        DatagramSocket socket = new DatagramSocket(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        socket.setSoTimeout(TIMEOUT_MILLIS);
        return socket;
    }

    /**
     * Sends a datagram; returns the name of the server if the reply came from the Service address, or
     * {@link #NO_ANSWER}.
     */
    static String udp(DatagramSocket socket, InetSocketAddress service) {
        try {
            byte[] query = "who?".getBytes(StandardCharsets.US_ASCII);
            socket.send(new DatagramPacket(query, query.length, service));
            DatagramPacket answer = new DatagramPacket(new byte[512], 512);
            socket.receive(answer);
            return answer.getSocketAddress().equals(service)
                    ? new String(answer.getData(), 0, answer.getLength(), StandardCharsets.UTF_8)
                    : NO_ANSWER;
        } catch (IOException e) {
            // Shown to the user as a missing answer.
            return NO_ANSWER;
        }
    }
}
