package io.sluice.socket;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assumptions.assumeThat;

import io.sluice.model.Family;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Valid and invalid input from the peer of a Unix socket. */
final class UnixSocketTest {
    private static final Duration LIMIT = Duration.ofSeconds(10);

    @TempDir
    private Path directory;

    private final List<AutoCloseable> open = new ArrayList<>();
    private UnixListener listening;
    private UnixSocket peer;
    private UnixSocket socket;

    @BeforeEach
    void connect() throws IOException {
        listening = closing(UnixListener.bind(directory.resolve("socket")));
        peer = closing(UnixSocket.connect(directory.resolve("socket"), LIMIT));
        socket = closing(Objects.requireNonNull(listening.accept(LIMIT)));
    }

    private <T extends AutoCloseable> T closing(T resource) {
        open.add(resource);
        return resource;
    }

    @AfterEach
    void closeAll() throws Exception {
        for (AutoCloseable each : open) {
            each.close();
        }
    }

    @Test
    void readsACompleteLineAndNothingBeyondIt() throws IOException {
        assertThat(socket.pollLine()).isNull();
        peer.output().write(new byte[] {'h', 'e'});
        assertThat(socket.pollLine()).isNull();
        peer.output().write("llo\nnext\n".getBytes(UTF_8));
        assertThat(socket.pollLine()).isEqualTo("hello");
        assertThat(socket.input().readNBytes(5)).isEqualTo("next\n".getBytes(UTF_8));
        peer.writeLine("/run/größe/日本");
        assertThat(socket.readLine()).isEqualTo("/run/größe/日本");
    }

    @Test
    void rejectsALineWithoutEnd() throws IOException {
        byte[] endless = new byte[5000];
        Arrays.fill(endless, (byte) 'x');
        peer.output().write(endless);
        assertThatThrownBy(socket::readLine)
                .isInstanceOf(IOException.class)
                .hasMessageContaining("longer than 4096 bytes");
    }

    @Test
    void rejectsControlCharacters() throws IOException {
        peer.output().write(new byte[] {'a', 27, '[', '2', 'J', '\n'});
        assertThatThrownBy(socket::readLine).isInstanceOf(IOException.class).hasMessageContaining("control character");
    }

    @Test
    void waitsForASilentPeerUntilTheDeadline() throws IOException {
        socket.limit(Duration.ofMillis(1));
        assertThatThrownBy(socket::readLine).isInstanceOf(SocketTimeoutException.class);
        InputStream input = socket.input();
        assertThatThrownBy(input::read).isInstanceOf(SocketTimeoutException.class);
        assertThatThrownBy(() -> socket.receive(1)).isInstanceOf(SocketTimeoutException.class);
        byte[] more = new byte[1 << 20];
        assertThatThrownBy(() -> socket.output().write(more)).isInstanceOf(SocketTimeoutException.class);
        assertThat(socket.isPastDeadline()).isTrue();
    }

    /** A process that was suspended must not mistake a reply that has arrived for a missing one. */
    @Test
    void readsALineThatHasArrivedEvenAfterTheDeadline() throws IOException {
        peer.writeLine("serving");
        socket.limit(Duration.ofNanos(-1));
        assertThat(socket.readLine()).isEqualTo("serving");
    }

    @Test
    void doesNotWaitForAPeerThatHasClosed() throws IOException {
        peer.close();
        assertThatThrownBy(socket::readLine).isInstanceOf(EOFException.class);
        assertThatThrownBy(() -> socket.receive(1)).isInstanceOf(EOFException.class);
        assertThat(socket.input().read()).isEqualTo(-1);
        assertThatThrownBy(() -> socket.writeLine("x")).isInstanceOf(IOException.class);
    }

    @Test
    void closesTheDescriptorsIfFewerThanExpectedArrive() throws IOException {
        InetSocket listener = listener();
        InetSocketAddress address = listener.localAddress();
        peer.send(List.of(listener.intValue()));
        listener.closeQuietly();
        closing(new Socket(address.getAddress(), address.getPort()));
        peer.close();
        assertThatThrownBy(() -> socket.receive(2))
                .isInstanceOf(EOFException.class)
                .hasMessageContaining("after 1 of 2 descriptors");
        assertThatThrownBy(() -> new Socket(address.getAddress(), address.getPort()).close())
                .as("the descriptor that had arrived is closed")
                .isInstanceOf(ConnectException.class);
    }

    @Test
    void closesAnUnexpectedDescriptor() throws IOException {
        InetSocket listener = listener();
        InetSocketAddress address = listener.localAddress();
        peer.send(List.of(listener.intValue()));
        peer.writeLine("end");
        listener.closeQuietly();
        assertThatThrownBy(() -> assertThat(socket.readLine()).isEqualTo("end"))
                .isInstanceOfAny(IOException.class, AssertionError.class);
        assertThatThrownBy(() -> new Socket(address.getAddress(), address.getPort()).close())
                .isInstanceOf(ConnectException.class);
    }

    private static InetSocket listener() throws IOException {
        InetSocket listener = InetSocket.stream(Family.IPV4);
        listener.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        listener.listen(5);
        return listener;
    }

    @Test
    void connectWaitsWhileTheBacklogIsFull() throws Exception {
        Path path = directory.resolve("full");
        UnixListener full = closing(UnixListener.bind(path));
        assertThatThrownBy(() -> {
                    while (true) {
                        closing(UnixSocket.connect(path, Duration.ZERO));
                    }
                })
                .isInstanceOf(SocketTimeoutException.class);
        Thread accepting = new Thread(() -> {
            try {
                closing(Objects.requireNonNull(full.accept(LIMIT)));
            } catch (IOException e) {
                throw new AssertionError(e);
            }
        });
        accepting.start();
        closing(UnixSocket.connect(path, LIMIT));
        accepting.join();
    }

    @Test
    void bothSidesSeeTheUserOfTheOther() throws IOException {
        assertThat(socket.peerUid()).isEqualTo(UnixSocket.ownUid());
        assertThat(peer.peerUid()).isEqualTo(UnixSocket.ownUid());
        assertThat(UnixSocket.isTrusted(UnixSocket.ownUid())).isTrue();
        assertThat(UnixSocket.isTrusted(0)).isTrue();
        assertThat(UnixSocket.isTrusted(UnixSocket.ownUid() + 1)).isFalse();
    }

    @Test
    void seesAnotherUserOnBothSides() throws Exception {
        assumeThat(UnixSocket.ownUid())
                .as("needs root to start a process of another user")
                .isZero();
        try (UnixPeer otherUser = new UnixPeer(directory)) {
            UnixSocket toOtherUser = closing(UnixSocket.connect(otherUser.listen(), LIMIT));
            assertThat(toOtherUser.peerUid()).isEqualTo(UnixPeer.UID);
            assertThat(UnixSocket.isTrusted(toOtherUser.peerUid())).isFalse();
            Path opened = directory.resolve("socket");
            UnixPeer.makeAccessibleToAllUsers(opened);
            otherUser.connect(opened);
            UnixSocket fromOtherUser = closing(Objects.requireNonNull(listening.accept(LIMIT)));
            assertThat(fromOtherUser.peerUid()).isEqualTo(UnixPeer.UID);
        }
    }
}
