package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;

import io.netty.channel.unix.Buffer;
import io.sluice.model.Endpoint;
import io.sluice.model.Family;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.socket.DatagramBatch;
import io.sluice.socket.InetSocket;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Datagrams that are sent in one system call arrive separately, complete and in order, in both directions. */
class UdpBatchTest {
    /** Equal sizes followed by a shorter one, empty datagrams, and some that are too large for one batch. */
    private static final List<Integer> SIZES = sizes();

    private final FrontendAddress address = Lab.freeAddress(Protocol.UDP);

    private static List<Integer> sizes() {
        List<Integer> sizes = new ArrayList<>(Collections.nCopies(20, 1_200));
        sizes.addAll(List.of(700, 1_200, 1_200, 0, 0, 5, 5, 6, 6, 40_000, 40_000, 30_000, 30_000, 1));
        return sizes;
    }

    private static byte[] datagram(int number, int size) {
        byte[] bytes = new byte[size];
        Arrays.fill(bytes, (byte) number);
        return bytes;
    }

    private static void sendAll(DatagramSocket from, SocketAddress to) throws IOException {
        for (int i = 0; i < SIZES.size(); i++) {
            byte[] bytes = datagram(i, SIZES.get(i));
            from.send(new DatagramPacket(bytes, bytes.length, to));
        }
    }

    private static SocketAddress assertReceivesAll(DatagramSocket socket) throws IOException {
        DatagramPacket in = new DatagramPacket(new byte[65_536], 65_536);
        for (int i = 0; i < SIZES.size(); i++) {
            in.setLength(65_536);
            socket.receive(in);
            assertThat(Arrays.copyOf(in.getData(), in.getLength()))
                    .as("datagram %d", i)
                    .isEqualTo(datagram(i, SIZES.get(i)));
        }
        return in.getSocketAddress();
    }

    private static DatagramSocket socket(Lab lab, String ip) throws IOException {
        DatagramSocket socket =
                lab.closing(new DatagramSocket(new InetSocketAddress(Lab.ip(ip).toInetAddress(), 0)));
        socket.setSoTimeout(5_000);
        return socket;
    }

    @Test
    void keepsTheBoundariesOfBatchedDatagrams() throws Exception {
        try (Lab lab = new Lab(1)) {
            DatagramSocket endpoint = socket(lab, "127.0.0.1");
            DatagramSocket client = socket(lab, "127.0.0.1");
            lab.apply(Lab.service("echo", address, new Endpoint(Lab.ip("127.0.0.1"), endpoint.getLocalPort())));
            CountDownLatch requests = blockLoop(lab);
            sendAll(client, address.address().toSocketAddress(address.port()));
            requests.countDown();
            SocketAddress flow = assertReceivesAll(endpoint);
            CountDownLatch replies = blockLoop(lab);
            sendAll(endpoint, flow);
            replies.countDown();
            assertReceivesAll(client);
            long bytes = SIZES.stream().mapToLong(size -> size).sum();
            for (Counter counter : List.of(Counter.BYTES_TO_ENDPOINT, Counter.BYTES_TO_CLIENT)) {
                assertThat(lab.count(counter)).isEqualTo(bytes);
            }
            for (Counter counter : List.of(Counter.DATAGRAMS_TO_ENDPOINT, Counter.DATAGRAMS_TO_CLIENT)) {
                assertThat(lab.count(counter)).isEqualTo(SIZES.size());
            }
        }
    }

    @Test
    void keepsInterleavedClientsApart() throws Exception {
        try (Lab lab = new Lab(1)) {
            DatagramSocket a = socket(lab, "127.0.0.1");
            DatagramSocket b = socket(lab, "127.0.0.1");
            lab.apply(Lab.service(
                    "two",
                    address,
                    new Endpoint(Lab.ip("127.0.0.1"), a.getLocalPort()),
                    new Endpoint(Lab.ip("127.0.0.1"), b.getLocalPort())));
            List<DatagramSocket> clients = List.of(socket(lab, "127.0.0.1"), socket(lab, "127.0.0.1"));
            CountDownLatch release = blockLoop(lab);
            for (int i = 0; i < 12; i++) {
                // Runs of one, two and three datagrams from each client.
                int client = List.of(0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1).get(i);
                clients.get(client)
                        .send(new DatagramPacket(
                                datagram(client, 100), 100, address.address().toSocketAddress(address.port())));
            }
            release.countDown();
            for (DatagramSocket endpoint : List.of(a, b)) {
                byte[] seen = new byte[6];
                for (int i = 0; i < seen.length; i++) {
                    DatagramPacket in = new DatagramPacket(new byte[200], 200);
                    endpoint.receive(in);
                    assertThat(in.getLength()).isEqualTo(100);
                    seen[i] = in.getData()[99];
                }
                assertThat(seen).containsOnly(seen[0]);
            }
        }
    }

    /** Without segmentation offload (here: a socket without checksums), datagrams are sent one by one. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void sendsOneByOneWithoutSegmentationOffload(boolean unsupported) throws Exception {
        int bytes = 100;
        ByteBuffer memory = ByteBuffer.allocateDirect(3 * bytes);
        InetSocket sender = InetSocket.datagram(Family.IPV4);
        try (DatagramSocket receiver =
                new DatagramSocket(new InetSocketAddress(Lab.ip("127.0.0.1").toInetAddress(), 0))) {
            receiver.setSoTimeout(5_000);
            sender.connect(receiver.getLocalSocketAddress());
            if (unsupported) {
                sender.setIntOpt(1, 11, 1);
            }
            DatagramBatch batch = new DatagramBatch();
            batch.add(bytes);
            batch.add(bytes);
            batch.add(bytes / 2);
            long address = Buffer.memoryAddress(memory);
            for (int round = 0; round < 2; round++) {
                assertThat(sender.sendAll(address, batch, null)).isEqualTo(3);
                for (int length : List.of(bytes, bytes, bytes / 2)) {
                    DatagramPacket in = new DatagramPacket(new byte[500], 500);
                    receiver.receive(in);
                    assertThat(in.getLength()).isEqualTo(length);
                }
            }
            // Whether UDP_SEGMENT is set.
            assertThat(sender.getIntOpt(17, 103)).isEqualTo(unsupported ? 0 : bytes);
        } finally {
            sender.close();
        }
    }

    /** Blocks the loop until the latch is released, so that it finds all datagrams at once. */
    private static CountDownLatch blockLoop(Lab lab) {
        CountDownLatch release = new CountDownLatch(1);
        lab.forwarder.loops().get(0).executor.execute(() -> {
            try {
                release.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        return release;
    }
}
