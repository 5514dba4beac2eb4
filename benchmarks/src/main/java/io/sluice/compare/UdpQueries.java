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

/** Datagrams that are answered by as many. What is not answered in time counts as lost. */
final class UdpQueries {
    private static final int CLIENTS = 32;
    private static final int FLOOD_CLIENTS = 8;
    /** In flight for each client of the flood: few enough for the smallest buffer on the way. */
    private static final int WINDOW = 16;

    private static final int QUERY_BYTES = 60;
    private static final int FLOOD_BYTES = 1_200;
    private static final int PATIENCE_MILLIS = 500;

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

    /** Each query from a port of its own, as resolvers do; over several addresses, so that ports do not come again. */
    String fresh(double seconds) throws InterruptedException {
        return all(CLIENTS, seconds, this::fresh);
    }

    /** From a few ports, as many in flight as buffers surely take. */
    String flood(double seconds) throws InterruptedException {
        return all(FLOOD_CLIENTS, seconds, this::flood);
    }

    private String all(int clients, double seconds, Client client) throws InterruptedException {
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

    private void fresh(int number, long endNanos) throws IOException {
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
            int waiting = 0;
            while (System.nanoTime() < endNanos) {
                for (; waiting < WINDOW; waiting++) {
                    packet.setSocketAddress(to);
                    socket.send(packet);
                }
                try {
                    socket.receive(packet);
                    waiting--;
                    answered.increment();
                } catch (SocketTimeoutException e) {
                    lost.add(waiting);
                    waiting = 0;
                }
            }
        }
    }

    private DatagramSocket open(int number) throws SocketException {
        DatagramSocket socket = new DatagramSocket(new InetSocketAddress(from.get(number % from.size()), 0));
        socket.setSoTimeout(PATIENCE_MILLIS);
        return socket;
    }
}
