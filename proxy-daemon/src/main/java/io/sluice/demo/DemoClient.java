package io.sluice.demo;

import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;

/** Asks the demo's services, each time as a client that was never there before. */
final class DemoClient {
    /** What is said where no proper answer came. */
    static final String NOBODY = "nobody";

    private static final int PATIENCE_MILLIS = 3_000;

    private DemoClient() {}

    /** One HTTP request on a connection of its own: the name of who answered, or {@link #NOBODY}. */
    static String tcp(InetSocketAddress service) {
        try (Socket socket = new Socket()) {
            socket.connect(service, PATIENCE_MILLIS);
            socket.setSoTimeout(PATIENCE_MILLIS);
            String request = "GET / HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n";
            socket.getOutputStream().write(request.getBytes(StandardCharsets.US_ASCII));
            String response = new String(socket.getInputStream().readAllBytes(), StandardCharsets.US_ASCII);
            boolean whole = response.startsWith("HTTP/1.1 200 ") && response.endsWith("\n");
            return whole ? response.strip().substring(response.strip().lastIndexOf('\n') + 1) : NOBODY;
        } catch (IOException e) {
            // Shown as what it is: nobody answered.
            return NOBODY;
        }
    }

    /** A client's socket. As long as it is open, no other client has its port, and a port is a client to UDP. */
    static DatagramSocket udpSocket() throws IOException {
        DatagramSocket socket = new DatagramSocket(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        socket.setSoTimeout(PATIENCE_MILLIS);
        return socket;
    }

    /** One datagram: the name of who answered, if the answer came from the service's address. */
    static String udp(DatagramSocket socket, InetSocketAddress service) {
        try {
            byte[] query = "who?".getBytes(StandardCharsets.US_ASCII);
            socket.send(new DatagramPacket(query, query.length, service));
            DatagramPacket answer = new DatagramPacket(new byte[512], 512);
            socket.receive(answer);
            return answer.getSocketAddress().equals(service)
                    ? new String(answer.getData(), 0, answer.getLength(), StandardCharsets.UTF_8)
                    : NOBODY;
        } catch (IOException e) {
            // Shown as what it is: nobody answered.
            return NOBODY;
        }
    }
}
