package io.sluice.socket;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.netty.channel.unix.Buffer;
import io.sluice.forward.Lab;
import io.sluice.model.Family;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class TcpInfoTest {
    private static final int BYTES = 1 << 16;
    /** The resolution of the times in the kernel: ticks of at most 10 ms. */
    private static final long TICK_MILLIS = 10;

    private static final long LONG_MILLIS = 100;

    private final TcpInfo info = new TcpInfo();
    private final ByteBuffer buffer =
            Buffer.allocateDirectBufferWithNativeOrder(BYTES).buffer();
    private InetSocket socket;
    private Socket peer;

    @BeforeEach
    void connect() throws IOException {
        try (ServerSocket server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            socket = InetSocket.stream(Family.IPV4);
            socket.connect(Lab.ip("127.0.0.1").toSocketAddress(server.getLocalPort()));
            peer = server.accept();
        }
    }

    @AfterEach
    void close() throws IOException {
        socket.closeQuietly();
        peer.close();
    }

    private int write() throws IOException {
        return socket.write(Buffer.memoryAddress(buffer), 0, BYTES);
    }

    private boolean hasOutput() {
        assertThat(info.read(socket)).isTrue();
        return info.hasOutput();
    }

    private long silentMillis() {
        assertThat(info.read(socket)).isTrue();
        return info.silentMillis();
    }

    /** The peer's kernel acknowledges data until its receive buffer is full, and then window probes. */
    @Test
    void outputToAPeerThatDoesNotReadIsPendingButNotUnanswered() throws Exception {
        assertThat(hasOutput()).isFalse();
        await().until(() -> {
            int sent = BYTES;
            while (sent == BYTES) {
                sent = write();
            }
            return hasOutput() && !info.isUnanswered();
        });
        Thread reader = new Thread(() -> {
            try {
                while (peer.getInputStream().read(new byte[BYTES]) >= 0) {
                    // until the other side closes
                }
            } catch (IOException e) {
                assertThat(peer.isClosed()).isTrue();
            }
        });
        reader.start();
        await().until(() -> !hasOutput());
        socket.closeQuietly();
        reader.join();
    }

    @Test
    void dataFromThePeerEndsItsSilence() throws Exception {
        await().until(() -> silentMillis() >= LONG_MILLIS);
        long before = System.nanoTime();
        peer.getOutputStream().write('x');
        await().until(() -> socket.read(Buffer.memoryAddress(buffer), 1) == 1);
        assertSilentSince(before);
    }

    @Test
    void anAckFromThePeerEndsItsSilence() throws Exception {
        await().until(() -> silentMillis() >= LONG_MILLIS);
        long before = System.nanoTime();
        assertThat(write()).isPositive();
        await().until(() -> !hasOutput());
        assertSilentSince(before);
    }

    private void assertSilentSince(long beforeNanos) {
        long silent = silentMillis();
        long elapsed = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - beforeNanos);
        assertThat(silent).isLessThanOrEqualTo(elapsed + TICK_MILLIS);
    }
}
