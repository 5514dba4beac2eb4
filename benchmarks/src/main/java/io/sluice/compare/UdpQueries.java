package io.sluice.compare;

import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetSocketAddress;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.LongAdder;

/**
 * Sends datagrams and counts responses. A datagram without a response within {@value #TIMEOUT_MILLIS} ms counts as
 * lost.
 */
final class UdpQueries {
    private static final int CLIENTS = 32;
    private static final int FLOOD_CLIENTS = 8;
    /** Datagrams in flight per client of the flood: few enough for the smallest buffer on the path. */
    private static final int WINDOW = 16;

    private static final int QUERY_BYTES = 60;
    private static final int FLOOD_BYTES = 1_200;
    private static final int TIMEOUT_MILLIS = 500;

    private final InetSocketAddress to;
    private final List<String> from;
    private final LongAdder answered = new LongAdder();
    private final LongAdder lost = new LongAdder();

    private interface Client {
        void run(int number, long endNanos) throws IOException;
    }

    UdpQueries(InetSocketAddress to, List<String> from) {
        this.to = to;
        this.from = from;
    }

    /** Sends each query from a new port, as resolvers do, and from several addresses, so that no port is used twice. */
    String queryFromNewPorts(double seconds) throws InterruptedException {
        return runClients(CLIENTS, seconds, this::queryFromNewPorts);
    }

    /** Sends from a few ports, with as many datagrams in flight as fit into all buffers. */
    String flood(double seconds) throws InterruptedException {
        return runClients(FLOOD_CLIENTS, seconds, this::flood);
    }

    private String runClients(int clients, double seconds, Client client) throws InterruptedException {
        long start = System.nanoTime();
        long end = start + (long) (seconds * 1e9);
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < clients; i++) {
            int number = i;
            Thread thread = new Thread(() -> {
                try {
                    client.run(number, end);
                } catch (IOException e) {
                    System.err.println(e);
                    lost.increment();
                }
            });
            threads.add(thread);
            thread.start();
        }
        for (Thread thread : threads) {
            thread.join();
        }
        return "ok %s %s".formatted(answered.sum() / seconds, lost.sum());
    }

    private void queryFromNewPorts(int number, long endNanos) throws IOException {
        byte[] bytes = new byte[QUERY_BYTES];
        DatagramPacket packet = new DatagramPacket(bytes, bytes.length);
        for (int i = number; System.nanoTime() < endNanos; i++) {
            try (DatagramSocket socket = open(i)) {
                packet.setSocketAddress(to);
                socket.send(packet);
                socket.receive(packet);
                answered.increment();
            } catch (SocketTimeoutException e) {
                lost.increment();
            }
        }
    }

    private void flood(int number, long endNanos) throws IOException {
        byte[] bytes = new byte[FLOOD_BYTES];
        DatagramPacket packet = new DatagramPacket(bytes, bytes.length);
        try (DatagramSocket socket = open(number)) {
            int inFlight = 0;
            while (System.nanoTime() < endNanos) {
                for (; inFlight < WINDOW; inFlight++) {
                    packet.setSocketAddress(to);
                    socket.send(packet);
                }
                try {
                    socket.receive(packet);
                    inFlight--;
                    answered.increment();
                } catch (SocketTimeoutException e) {
                    lost.add(inFlight);
                    inFlight = 0;
                }
            }
        }
    }

    private DatagramSocket open(int number) throws SocketException {
        DatagramSocket socket = new DatagramSocket(new InetSocketAddress(from.get(number % from.size()), 0));
        socket.setSoTimeout(TIMEOUT_MILLIS);
        return socket;
    }
}
