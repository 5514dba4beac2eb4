package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.Socket;
import java.net.SocketException;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * FIN and RST in all combinations: each peer sees the same as without a proxy.
 *
 * <table>
 * <caption>One test per row; the peers are client and endpoint, in both roles unless stated</caption>
 * <tr><th>acting peer</th><th>what the opposite peer sees</th></tr>
 * <tr><td>bytes, FIN</td><td>all bytes, end of stream; bytes it sends still arrive</td></tr>
 * <tr><td>both send FIN at once</td><td>both see all bytes and the end of stream</td></tr>
 * <tr><td>FIN while the opposite peer does not read</td><td>all bytes, then end of stream, however late</td></tr>
 * <tr><td>FIN, and the opposite peer sends single bytes slowly</td><td>all arrive; no timeout</td></tr>
 * <tr><td>closes with unread bytes (FIN or RST by the kernel's choice)</td><td>a reset</td></tr>
 * <tr><td>RST</td><td>all bytes that had arrived, then a reset</td></tr>
 * <tr><td>RST while the opposite peer does not read</td><td>all bytes that had arrived, then a reset</td></tr>
 * <tr><td>FIN, then RST</td><td>end of stream, and a reset when it writes</td></tr>
 * <tr><td>RST after the opposite peer's FIN</td><td>a reset or end of stream, depending on timing</td></tr>
 * <tr><td>client: bytes and FIN while connecting</td><td>the endpoint sees both, the client its response</td></tr>
 * <tr><td>client: bytes, FIN; first endpoint refuses</td><td>the next endpoint gets all bytes</td></tr>
 * <tr><td>client: RST while connecting</td><td>the endpoint sees a reset, or no connection</td></tr>
 * <tr><td>FIN, and the opposite peer sends nothing</td><td>both are reset after the half-closed timeout</td></tr>
 * </table>
 */
class CloseMatrixTest {
    /** The acting peer. */
    enum Side {
        CLIENT,
        ENDPOINT
    }

    private final FrontendAddress address = Lab.freeAddress(Protocol.TCP);
    private final Lab lab = new Lab(1);
    private EndpointServer endpointServer;
    private Socket client;
    private Socket endpoint;

    @BeforeEach
    void open() throws Exception {
        endpointServer = lab.endpointServer(EndpointServer.Kind.MANUAL);
        lab.apply(Lab.service("s", address, endpointServer.endpoint()));
        client = lab.dial(address);
        endpoint = lab.closing(endpointServer.next());
        endpoint.setSoTimeout(5_000);
        // From here on, bytes are forwarded and the client's socket is registered.
        endpoint.getOutputStream().write(1);
        assertThat(client.getInputStream().read()).isEqualTo(1);
    }

    @AfterEach
    void allConnectionsEndAndBuffersAreFreed() throws Exception {
        client.close();
        endpoint.close();
        try {
            await().until(() -> {
                lab.advance(Duration.ofSeconds(10));
                return lab.forwarder.sessions() == 0;
            });
            assertThat(lab.forwarder.bufferedBytes()).isZero();
            assertThat(lab.forwarder.clients().areEmpty()).isTrue();
        } finally {
            lab.close();
        }
    }

    private Socket acting(Side side) {
        return side == Side.CLIENT ? client : endpoint;
    }

    private Socket opposite(Side side) {
        return side == Side.CLIENT ? endpoint : client;
    }

    private static void reset(Socket socket) throws IOException {
        socket.setSoLinger(true, 0);
        socket.close();
    }

    private static void assertReset(ThrowingCallable call) {
        assertThatThrownBy(call).isInstanceOf(SocketException.class);
    }

    /** Writes until the buffers of the kernel and of Sluice are full; returns the number of bytes written. */
    private static long fill(SocketChannel channel) throws IOException {
        channel.configureBlocking(false);
        long written = 0;
        long noProgressSince = System.nanoTime();
        byte[] pattern = new byte[64 << 10];
        while (System.nanoTime() - noProgressSince < 300_000_000L) {
            int n = channel.write(ByteBuffer.wrap(pattern));
            if (n > 0) {
                written += n;
                noProgressSince = System.nanoTime();
            }
        }
        return written;
    }

    private static long drainUntilEndOrReset(Socket socket, boolean[] wasReset) throws IOException {
        long read = 0;
        byte[] buffer = new byte[64 << 10];
        InputStream in = socket.getInputStream();
        try {
            for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                read += n;
            }
        } catch (SocketException e) {
            wasReset[0] = true;
        }
        return read;
    }

    @ParameterizedTest
    @EnumSource
    void finEndsOneDirectionOnly(Side side) throws Exception {
        acting(side).getOutputStream().write(Lab.bytes(100_000));
        acting(side).shutdownOutput();
        assertThat(opposite(side).getInputStream().readAllBytes()).isEqualTo(Lab.bytes(100_000));
        opposite(side).getOutputStream().write(Lab.bytes(50_000));
        opposite(side).shutdownOutput();
        assertThat(acting(side).getInputStream().readAllBytes()).isEqualTo(Lab.bytes(50_000));
        await().until(() -> lab.forwarder.sessions() == 0);
    }

    @Test
    void bothSendFinAtOnce() throws Exception {
        CountDownLatch release = lab.stopLoop();
        client.getOutputStream().write(7);
        client.shutdownOutput();
        endpoint.getOutputStream().write(8);
        endpoint.shutdownOutput();
        release.countDown();
        assertThat(client.getInputStream().readAllBytes()).containsExactly(8);
        assertThat(endpoint.getInputStream().readAllBytes()).containsExactly(7);
        await().until(() -> lab.forwarder.sessions() == 0);
    }

    @ParameterizedTest
    @EnumSource
    void finIsDeliveredToASlowReader(Side side) throws Exception {
        byte[] sent = Lab.bytes(8 << 20);
        Thread writer = new Thread(() -> {
            try {
                acting(side).getOutputStream().write(sent);
                acting(side).shutdownOutput();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
        writer.start();
        await().until(() -> lab.forwarder.bufferedBytes() > 0);
        assertThat(lab.forwarder.bufferedBytes()).isLessThanOrEqualTo(2L * Loop.BUFFER_BYTES);
        assertThat(opposite(side).getInputStream().readAllBytes()).isEqualTo(sent);
        writer.join();
    }

    @ParameterizedTest
    @EnumSource
    void slowBytesAfterFinRestartTheTimeout(Side side) throws Exception {
        acting(side).shutdownOutput();
        Lab.assertEof(opposite(side).getInputStream());
        for (int i = 0; i < 20; i++) {
            lab.advance(Duration.ofSeconds(20));
            opposite(side).getOutputStream().write(i);
            assertThat(acting(side).getInputStream().read()).isEqualTo(i);
        }
        assertThat(lab.count(Counter.SESSIONS_TIMED_OUT)).isZero();
    }

    @ParameterizedTest
    @EnumSource
    void silenceAfterFinEndsAtTheHalfClosedTimeout(Side side) throws Exception {
        acting(side).shutdownOutput();
        Lab.assertEof(opposite(side).getInputStream());
        await().until(() -> {
            lab.advance(Duration.ofSeconds(20));
            return lab.count(Counter.SESSIONS_TIMED_OUT) == 1;
        });
        assertReset(() -> acting(side).getInputStream().read());
    }

    @ParameterizedTest
    @EnumSource
    void closingWithUnreadBytesResetsTheOther(Side side) throws Exception {
        opposite(side).getOutputStream().write(Lab.bytes(1000));
        assertThat(acting(side).getInputStream().read()).isNotEqualTo(-1);
        acting(side).close();
        assertReset(() -> {
            // The JDK sends FIN before the kernel resets, so the end of stream may be seen first.
            for (int i = 0; i < 100_000; i++) {
                opposite(side).getOutputStream().write(1);
            }
        });
    }

    @ParameterizedTest
    @EnumSource
    void resetAfterBytesThatWereRead(Side side) throws Exception {
        acting(side).getOutputStream().write(Lab.bytes(100));
        assertThat(opposite(side).getInputStream().readNBytes(100)).isEqualTo(Lab.bytes(100));
        reset(acting(side));
        assertReset(() -> opposite(side).getInputStream().read());
        assertThat(lab.count(
                        side == Side.CLIENT ? Counter.SESSIONS_RESET_BY_CLIENT : Counter.SESSIONS_RESET_BY_ENDPOINT))
                .isEqualTo(1);
    }

    @ParameterizedTest
    @EnumSource
    void bytesAndResetInOneRoundOfEvents(Side side) throws Exception {
        CountDownLatch release = lab.stopLoop();
        acting(side).getOutputStream().write(Lab.bytes(5_000));
        reset(acting(side));
        release.countDown();
        assertThat(opposite(side).getInputStream().readNBytes(5_000)).isEqualTo(Lab.bytes(5_000));
        assertReset(() -> opposite(side).getInputStream().read());
    }

    /** All bytes that Sluice has read must arrive before the reset, however slowly they are read. */
    @Test
    void resetOfAClientWhileTheEndpointDoesNotRead() throws Exception {
        SocketChannel channel = lab.closing(SocketChannel.open(address.address().toSocketAddress(address.port())));
        Socket server = lab.closing(endpointServer.next());
        long written = fill(channel);
        await().until(() -> lab.forwarder.bufferedBytes() > 0);
        long forwarded = lab.count(Counter.BYTES_TO_ENDPOINT);
        channel.setOption(StandardSocketOptions.SO_LINGER, 0);
        channel.close();
        boolean[] wasReset = new boolean[1];
        long read = drainUntilEndOrReset(server, wasReset);
        assertThat(wasReset[0]).as("reset after the bytes").isTrue();
        assertThat(read).isBetween(forwarded, written);
    }

    @ParameterizedTest
    @EnumSource
    void finThenReset(Side side) throws Exception {
        acting(side).shutdownOutput();
        Lab.assertEof(opposite(side).getInputStream());
        reset(acting(side));
        await().until(() -> lab.forwarder.sessions() == 0);
        assertReset(() -> {
            for (int i = 0; i < 1000; i++) {
                opposite(side).getOutputStream().write(new byte[1000]);
            }
        });
    }

    @ParameterizedTest
    @EnumSource
    void resetAfterTheOthersFin(Side side) throws Exception {
        opposite(side).shutdownOutput();
        Lab.assertEof(acting(side).getInputStream());
        reset(acting(side));
        assertReset(() -> opposite(side).getInputStream().read());
        await().until(() -> lab.forwarder.sessions() == 0);
    }

    /** recv(2) stops at the urgent mark, although more bytes may follow. */
    @Test
    void urgentDataDoesNotStopTheStream() throws Exception {
        CountDownLatch release = lab.stopLoop();
        client.getOutputStream().write(Lab.bytes(100));
        client.sendUrgentData(42);
        client.getOutputStream().write(Lab.bytes(200));
        release.countDown();
        assertThat(endpoint.getInputStream().readNBytes(100)).isEqualTo(Lab.bytes(100));
        assertThat(endpoint.getInputStream().read()).isEqualTo(42);
        assertThat(endpoint.getInputStream().readNBytes(200)).isEqualTo(Lab.bytes(200));
    }

    @Test
    void clientBytesAndFinBeforeTheEndpointIsConnected() throws Exception {
        CountDownLatch release = lab.stopLoop();
        Socket early = lab.dial(address);
        early.getOutputStream().write(Lab.bytes(3_000));
        early.shutdownOutput();
        release.countDown();
        Socket server = lab.closing(endpointServer.next());
        assertThat(server.getInputStream().readAllBytes()).isEqualTo(Lab.bytes(3_000));
        server.getOutputStream().write(Lab.bytes(4_000));
        server.close();
        assertThat(early.getInputStream().readAllBytes()).isEqualTo(Lab.bytes(4_000));
    }

    @Test
    void clientBytesAndFinSurviveRefusals() throws Exception {
        lab.apply(Lab.service("s", address, Lab.closedPort(), Lab.closedPort(), endpointServer.endpoint()));
        for (int i = 0; i < 3; i++) {
            Socket early = lab.dial(address);
            early.getOutputStream().write(Lab.bytes(3_000));
            early.shutdownOutput();
            Socket server = lab.closing(endpointServer.next());
            assertThat(server.getInputStream().readAllBytes()).isEqualTo(Lab.bytes(3_000));
            server.getOutputStream().write(9);
            server.close();
            assertThat(early.getInputStream().readAllBytes()).containsExactly(9);
        }
    }

    @Test
    void allRefuseAfterTheClientSentBytesAndFin() throws Exception {
        lab.apply(Lab.service("s", address, Lab.closedPort()));
        assertReset(() -> {
            Socket early = lab.dial(address);
            early.getOutputStream().write(Lab.bytes(3_000));
            early.shutdownOutput();
            Lab.read(early);
        });
    }

    @Test
    void resetOfTheClientWhileConnecting() throws Exception {
        lab.apply(Lab.service("s", address, lab.silent()));
        Socket early = lab.dial(address);
        await().until(() -> lab.forwarder.sessions() == 2);
        reset(early);
        await().until(() -> {
            lab.advance(Duration.ofMillis(500));
            return lab.forwarder.sessions() == 1;
        });
        lab.apply(Lab.service("s", address, endpointServer.endpoint()));
        CountDownLatch release = lab.stopLoop();
        reset(lab.dial(address));
        release.countDown();
        // The ACK of the handshake would have been sent with the first bytes, so the endpoint has not accepted it.
        try (Socket next = lab.dial(address);
                Socket server = endpointServer.next()) {
            next.getOutputStream().write('n');
            assertThat(server.getInputStream().read()).isEqualTo('n');
        }
    }

    @Test
    void endpointClosesAtOnce() throws Exception {
        Socket early = lab.dial(address);
        endpointServer.next().close();
        Lab.assertEof(early.getInputStream());
    }

    @Test
    void endpointResetsAtOnce() throws Exception {
        Socket early = lab.dial(address);
        reset(endpointServer.next());
        assertReset(() -> early.getInputStream().read());
    }
}
