package io.sluice.compare;

import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;

/** The UDP endpoint: sends every datagram back, with two sockets per port, as a server on two cores would have. */
final class UdpEcho {
    private static final int SOCKETS = 2;

    private UdpEcho() {}

    public static void main(String[] args) throws IOException {
        for (String port : args) {
            for (int i = 0; i < SOCKETS; i++) {
                DatagramSocket socket = new DatagramSocket(null);
                socket.setOption(StandardSocketOptions.SO_REUSEPORT, true);
                socket.setReceiveBufferSize(4 << 20);
                socket.bind(new InetSocketAddress(Integer.parseInt(port)));
                new Thread(() -> serve(socket), "echo-" + port + "-" + i).start();
            }
        }
    }

    private static void serve(DatagramSocket socket) {
        byte[] bytes = new byte[65_536];
        DatagramPacket packet = new DatagramPacket(bytes, bytes.length);
        while (true) {
            try {
                packet.setLength(bytes.length);
                socket.receive(packet);
                socket.send(packet);
            } catch (IOException e) {
                // The client may have closed its socket; serve the others.
                System.err.println(e);
            }
        }
    }
}
