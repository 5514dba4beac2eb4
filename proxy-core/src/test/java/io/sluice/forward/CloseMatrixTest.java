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
 * What one end does, and what the other end sees of it: the same as without a proxy.
 *
 * <table>
 * <caption>The rows, a test each; "one" and "other" are client and endpoint, and both ways round</caption>
 * <tr><th>one end</th><th>the other end</th></tr>
 * <tr><td>sends, FIN</td><td>all bytes, end of stream; what it sends still arrives</td></tr>
 * <tr><td>both send FIN at once</td><td>both see all bytes and the end</td></tr>
 * <tr><td>FIN while the other does not read</td><td>all bytes, then the end, however late it reads</td></tr>
 * <tr><td>FIN, then the other trickles a byte now and then</td><td>all of it arrives; the session is not timed out</td></tr>
 * <tr><td>closes with unread bytes (FIN or RST by the kernel's choice)</td><td>a reset</td></tr>
 * <tr><td>RST while relaying</td><td>all bytes that had arrived, then a reset</td></tr>
 * <tr><td>RST while the other does not read</td><td>all bytes that had arrived, then a reset</td></tr>
 * <tr><td>FIN, then RST</td><td>end of stream, and a reset when it writes</td></tr>
 * <tr><td>RST after the other's FIN</td><td>a reset when it reads or the end, as the kernels race</td></tr>
 * <tr><td>client: FIN at once after its bytes, endpoint answers</td><td>endpoint sees both, client the answer</td></tr>
 * <tr><td>client: bytes, FIN; first endpoint refuses</td><td>the next endpoint gets all of it</td></tr>
 * <tr><td>client: RST while connecting</td><td>the endpoint sees a reset or nothing at all</td></tr>
 * <tr><td>FIN, then silence of the other end</td><td>a reset at both after the half-closed timeout</td></tr>
 * </table>
 */
class CloseMatrixTest {
    /** Which end acts. */
    enum Side {
        CLIENT,
        ENDPOINT
    }

    private final FrontendAddress address = Lab.freeAddress(Protocol.TCP);
    private final Lab lab = new Lab(1);
    private Backend backend;
    private Socket client;
    private Socket endpoint;

    @BeforeEach
    void open() throws Exception {
        backend = lab.backend(Backend.Kind.HAND_OVER);
        lab.apply(Lab.service("s", address, backend.endpoint()));
        client = lab.dial(address);
        endpoint = lab.closing(backend.next());
        endpoint.setSoTimeout(5_000);
        // The session relays from here on: the client's socket is watched.
        endpoint.getOutputStream().write(1);
        assertThat(client.getInputStream().read()).isEqualTo(1);
    }

    @AfterEach
    void everySessionEndsAndNothingIsHeld() throws Exception {
        client.close();
        endpoint.close();
        try {
            await().until(() -> {
                lab.advance(Duration.ofSeconds(10));
                return lab.forwarder.sessions() == 0;
            });
            assertThat(lab.forwarder.heldBytes()).isZero();
            assertThat(lab.forwarder.clients().areEmpty()).isTrue();
        } finally {
            lab.close();
        }
    }

    private Socket one(Side side) {
        return side == Side.CLIENT ? client : endpoint;
    }

    private Socket other(Side side) {
        return side == Side.CLIENT ? endpoint : client;
    }

    private static void reset(Socket socket) throws IOException {
        socket.setSoLinger(true, 0);
        socket.close();
    }

    private static void assertReset(ThrowingCallable call) {
        assertThatThrownBy(call).isInstanceOf(SocketException.class);
    }

    /** Fills both kernels and the proxy until the writer is stuck; the number of bytes that went in. */
    private static long fill(SocketChannel channel) throws IOException {
        channel.configureBlocking(false);
        long written = 0;
        long stuckSince = System.nanoTime();
        byte[] pattern = new byte[64 << 10];
        while (System.nanoTime() - stuckSince < 300_000_000L) {
            int n = channel.write(ByteBuffer.wrap(pattern));
            if (n > 0) {
                written += n;
                stuckSince = System.nanoTime();
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
        one(side).getOutputStream().write(Lab.bytes(100_000));
        one(side).shutdownOutput();
        assertThat(other(side).getInputStream().readAllBytes()).isEqualTo(Lab.bytes(100_000));
        other(side).getOutputStream().write(Lab.bytes(50_000));
        other(side).shutdownOutput();
        assertThat(one(side).getInputStream().readAllBytes()).isEqualTo(Lab.bytes(50_000));
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
    void finWhileTheOtherEndDoesNotRead(Side side) throws Exception {
        byte[] sent = Lab.bytes(8 << 20);
        Thread writer = new Thread(() -> {
            try {
                one(side).getOutputStream().write(sent);
                one(side).shutdownOutput();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
        writer.start();
        await().until(() -> lab.forwarder.heldBytes() > 0);
        assertThat(lab.forwarder.heldBytes()).isLessThanOrEqualTo(2L * Loop.BUFFER_BYTES);
        assertThat(other(side).getInputStream().readAllBytes()).isEqualTo(sent);
        writer.join();
    }

    @ParameterizedTest
    @EnumSource
    void slowTailAfterFinIsNoSilence(Side side) throws Exception {
        one(side).shutdownOutput();
        Lab.assertEof(other(side).getInputStream());
        for (int i = 0; i < 20; i++) {
            lab.advance(Duration.ofSeconds(20));
            other(side).getOutputStream().write(i);
            assertThat(one(side).getInputStream().read()).isEqualTo(i);
        }
        assertThat(lab.count(Counter.SESSIONS_TIMED_OUT)).isZero();
    }

    @ParameterizedTest
    @EnumSource
    void silenceAfterFinEndsAtTheTimeout(Side side) throws Exception {
        one(side).shutdownOutput();
        Lab.assertEof(other(side).getInputStream());
        await().until(() -> {
            lab.advance(Duration.ofSeconds(20));
            return lab.count(Counter.SESSIONS_TIMED_OUT) == 1;
        });
        assertReset(() -> one(side).getInputStream().read());
    }

    @ParameterizedTest
    @EnumSource
    void closingWithUnreadBytesResetsTheOther(Side side) throws Exception {
        other(side).getOutputStream().write(Lab.bytes(1000));
        assertThat(one(side).getInputStream().read()).isNotEqualTo(-1);
        one(side).close();
        assertReset(() -> {
            // The JDK sends FIN before the kernel resets: the end of the stream may be seen first.
            for (int i = 0; i < 100_000; i++) {
                other(side).getOutputStream().write(1);
            }
        });
    }

    @ParameterizedTest
    @EnumSource
    void resetAfterBytesThatWereRead(Side side) throws Exception {
        one(side).getOutputStream().write(Lab.bytes(100));
        assertThat(other(side).getInputStream().readNBytes(100)).isEqualTo(Lab.bytes(100));
        reset(one(side));
        assertReset(() -> other(side).getInputStream().read());
        assertThat(lab.count(
                        side == Side.CLIENT ? Counter.SESSIONS_RESET_BY_CLIENT : Counter.SESSIONS_RESET_BY_ENDPOINT))
                .isEqualTo(1);
    }

    @ParameterizedTest
    @EnumSource
    void bytesAndResetInOneRoundOfEvents(Side side) throws Exception {
        CountDownLatch release = lab.stopLoop();
        one(side).getOutputStream().write(Lab.bytes(5_000));
        reset(one(side));
        release.countDown();
        assertThat(other(side).getInputStream().readNBytes(5_000)).isEqualTo(Lab.bytes(5_000));
        assertReset(() -> other(side).getInputStream().read());
    }

    /** All that the proxy had taken off the sender must arrive before the reset does, however slowly it is read. */
    @Test
    void resetOfAClientWhileTheEndpointDoesNotRead() throws Exception {
        SocketChannel channel = lab.closing(SocketChannel.open(address.address().toSocketAddress(address.port())));
        Socket server = lab.closing(backend.next());
        long written = fill(channel);
        await().until(() -> lab.forwarder.heldBytes() > 0);
        long passedOn = lab.count(Counter.BYTES_TO_ENDPOINT);
        channel.setOption(StandardSocketOptions.SO_LINGER, 0);
        channel.close();
        boolean[] wasReset = new boolean[1];
        long read = drainUntilEndOrReset(server, wasReset);
        assertThat(wasReset[0]).as("reset after the bytes").isTrue();
        assertThat(read).isBetween(passedOn, written);
    }

    @ParameterizedTest
    @EnumSource
    void finThenReset(Side side) throws Exception {
        one(side).shutdownOutput();
        Lab.assertEof(other(side).getInputStream());
        reset(one(side));
        await().until(() -> lab.forwarder.sessions() == 0);
        assertReset(() -> {
            for (int i = 0; i < 1000; i++) {
                other(side).getOutputStream().write(new byte[1000]);
            }
        });
    }

    @ParameterizedTest
    @EnumSource
    void resetAfterTheOthersFin(Side side) throws Exception {
        other(side).shutdownOutput();
        Lab.assertEof(one(side).getInputStream());
        reset(one(side));
        assertReset(() -> other(side).getInputStream().read());
        await().until(() -> lab.forwarder.sessions() == 0);
    }

    /** recv(2) stops at the urgent mark, though more may follow it. */
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
        Socket server = lab.closing(backend.next());
        assertThat(server.getInputStream().readAllBytes()).isEqualTo(Lab.bytes(3_000));
        server.getOutputStream().write(Lab.bytes(4_000));
        server.close();
        assertThat(early.getInputStream().readAllBytes()).isEqualTo(Lab.bytes(4_000));
    }

    @Test
    void clientBytesAndFinSurviveRefusals() throws Exception {
        lab.apply(Lab.service("s", address, Lab.rejectingNew(), Lab.rejectingNew(), backend.endpoint()));
        for (int i = 0; i < 3; i++) {
            Socket early = lab.dial(address);
            early.getOutputStream().write(Lab.bytes(3_000));
            early.shutdownOutput();
            Socket server = lab.closing(backend.next());
            assertThat(server.getInputStream().readAllBytes()).isEqualTo(Lab.bytes(3_000));
            server.getOutputStream().write(9);
            server.close();
            assertThat(early.getInputStream().readAllBytes()).containsExactly(9);
        }
    }

    @Test
    void allRefuseAfterTheClientSentBytesAndFin() throws Exception {
        lab.apply(Lab.service("s", address, Lab.rejectingNew()));
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
        lab.apply(Lab.service("s", address, backend.endpoint()));
        CountDownLatch release = lab.stopLoop();
        reset(lab.dial(address));
        release.countDown();
        // The end of the handshake would have gone with the first bytes, so the endpoint hears nothing of it.
        try (Socket next = lab.dial(address);
                Socket server = backend.next()) {
            next.getOutputStream().write('n');
            assertThat(server.getInputStream().read()).isEqualTo('n');
        }
    }

    @Test
    void endpointClosesAtOnce() throws Exception {
        Socket early = lab.dial(address);
        backend.next().close();
        Lab.assertEof(early.getInputStream());
    }

    @Test
    void endpointResetsAtOnce() throws Exception {
        Socket early = lab.dial(address);
        reset(backend.next());
        assertReset(() -> early.getInputStream().read());
    }
}
