package io.sluice.handover;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.sluice.daemon.RunIT;
import io.sluice.forward.Forwarder;
import io.sluice.forward.MovedConnection;
import io.sluice.model.ServiceSnapshot;
import io.sluice.socket.UnixListener;
import io.sluice.socket.UnixSocket;
import java.io.EOFException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Open TCP connections move from an old to a new process. At whatever message one of the two fails, each connection is
 * continued by exactly one of them, unless both have failed.
 */
@Tag("one-jdk")
final class ConnectionMoveTest {
    private static final int CONNECTIONS = 3;

    @TempDir
    private Path directory;

    private HandoverLab lab;
    private Forwarder old;
    private Forwarder newForwarder;
    /** The two ends of the connection between the processes. */
    private UnixSocket oldEnd;

    private UnixSocket newEnd;
    private final List<Socket> clients = new ArrayList<>();
    private final List<Socket> endpoints = new ArrayList<>();

    /** Messages of a batch, in order. Even the last one may be followed by the end of a process. */
    private enum Step {
        NOTHING,
        MOVE,
        CONNECTIONS,
        RECEIVED,
        DESCRIPTORS,
        READY,
        COMMIT
    }

    @BeforeEach
    void serve() throws Exception {
        lab = new HandoverLab();
        ServerSocket server = lab.closeLater(new ServerSocket(0, 10, InetAddress.getLoopbackAddress()));
        ServiceSnapshot snapshot = ServiceSnapshot.of(HandoverLab.stream(lab.port, server));
        old = lab.forwarder();
        newForwarder = lab.forwarder();
        Path path = directory.resolve("socket");
        try (UnixListener listening = UnixListener.bind(path)) {
            newEnd = lab.closeLater(UnixSocket.connect(path, RunIT.TIMEOUT));
            oldEnd = lab.closeLater(Objects.requireNonNull(listening.accept(RunIT.TIMEOUT)));
        }
        old.apply(snapshot);
        for (int i = 0; i < CONNECTIONS; i++) {
            clients.add(lab.closeLater(lab.connectTcp()));
            endpoints.add(lab.closeLater(server.accept()));
        }
        assertExchange();
        old.closeReleased(old.release());
        newForwarder.apply(snapshot);
    }

    @AfterEach
    void closeAll() throws Exception {
        lab.closeAll();
    }

    private void assertExchange() throws IOException {
        for (int i = 0; i < clients.size(); i++) {
            clients.get(i).getOutputStream().write('?');
            assertThat(endpoints.get(i).getInputStream().read()).isEqualTo('?');
            endpoints.get(i).getOutputStream().write('!');
            assertThat(clients.get(i).getInputStream().read()).isEqualTo('!');
        }
    }

    private void assertServedBy(Forwarder forwarder) throws IOException {
        assertExchange();
        await().untilAsserted(() -> {
            assertThat(forwarder.sessions()).isEqualTo(CONNECTIONS);
            assertThat((forwarder == old ? newForwarder : old).sessions()).isZero();
        });
    }

    private CompletableFuture<Void> sendAll(@Nullable Duration timeout) {
        return CompletableFuture.runAsync(() -> {
            try (NewProcess channel = new NewProcess(oldEnd)) {
                new ConnectionSender(channel, old, () -> false).sendAll("4711", timeout);
            }
        });
    }

    private CompletableFuture<Void> receiveAll() {
        return CompletableFuture.runAsync(() -> {
            try (ConnectionReceiver receiver =
                    new ConnectionReceiver(new OldProcess(newEnd), newForwarder, (moved, left) -> {})) {
                receiver.receiveAll();
            }
        });
    }

    @Test
    void connectionsMove() throws Exception {
        CompletableFuture<Void> sending = sendAll(RunIT.TIMEOUT);
        receiveAll().get();
        sending.get();
        assertServedBy(newForwarder);
    }

    @Test
    void theNewProcessLearnsHowManyConnectionsStay() throws Exception {
        CompletableFuture<Void> sending = sendAll(null);
        assertThat(newEnd.readLine()).isEqualTo("done 3");
        sending.get();
        assertServedBy(old);
    }

    // ---- the new process fails

    /** Plays the new process. */
    private List<MovedConnection> receiveTo(Step last) throws IOException {
        List<MovedConnection> received = List.of();
        for (Step step : Step.values()) {
            switch (step) {
                case NOTHING -> {}
                case MOVE -> assertThat(newEnd.readLine()).isEqualTo("move 3");
                case CONNECTIONS -> received = HandoverFormat.readConnections(newEnd.input());
                case RECEIVED -> newEnd.writeLine("received");
                case DESCRIPTORS -> {
                    received = MovedConnection.withDescriptors(received, newEnd.receive(2 * CONNECTIONS));
                    assertThat(newEnd.readLine()).isEqualTo("end");
                }
                case READY -> newEnd.writeLine("ready");
                case COMMIT -> assertThat(newEnd.readLine()).isEqualTo("commit");
            }
            if (step == last) {
                break;
            }
        }
        return received;
    }

    @ParameterizedTest
    @EnumSource(
            mode = EnumSource.Mode.EXCLUDE,
            names = {"READY", "COMMIT"})
    void theOldProcessContinuesIfTheNewOneEndsBeforeItIsReady(Step last) throws Exception {
        CompletableFuture<Void> sending = sendAll(RunIT.TIMEOUT);
        List<MovedConnection> received = receiveTo(last);
        newEnd.close();
        if (last == Step.DESCRIPTORS) {
            UnixSocket.closeAll(MovedConnection.descriptors(received));
        }
        sending.get();
        assertServedBy(old);
    }

    @Test
    void theConnectionsEndWithTheNewProcessAfterTheCommit() throws Exception {
        CompletableFuture<Void> sending = sendAll(RunIT.TIMEOUT);
        List<MovedConnection> received = receiveTo(Step.COMMIT);
        newEnd.close();
        sending.get();
        assertThat(old.sessions()).isZero();
        UnixSocket.closeAll(MovedConnection.descriptors(received));
        for (Socket client : clients) {
            assertThat(client.getInputStream().read()).isEqualTo(-1);
        }
    }

    /** The descriptors of the old process would otherwise be used by both. */
    @Test
    void aNewProcessThatIsReadyTooLateLearnsIt() throws Exception {
        CompletableFuture<Void> sending = sendAll(RunIT.TIMEOUT);
        List<MovedConnection> received = receiveTo(Step.DESCRIPTORS);
        sending.get();
        assertThatThrownBy(() -> newEnd.writeLine("ready")).isInstanceOf(IOException.class);
        UnixSocket.closeAll(MovedConnection.descriptors(received));
        assertServedBy(old);
    }

    @Test
    void aConnectionThatTheNewProcessCannotBufferStays() throws Exception {
        CompletableFuture<Void> sending = sendAll(RunIT.TIMEOUT);
        List<MovedConnection> received = receiveTo(Step.DESCRIPTORS);
        newEnd.writeLine("ready 0 2");
        assertThat(newEnd.readLine()).isEqualTo("commit");
        UnixSocket.closeAll(MovedConnection.descriptors(List.of(received.get(0), received.get(2))));
        newForwarder.receiveConnections(() -> received.subList(1, 2));
        assertExchange();
        assertThat(newForwarder.sessions()).isEqualTo(1);
        newEnd.close();
        sending.get();
        assertThat(old.sessions()).isEqualTo(2);
        assertExchange();
    }

    @ParameterizedTest
    @EnumSource(names = {"CONNECTIONS", "DESCRIPTORS"})
    void garbageFromTheNewProcessChangesNothing(Step last) throws Exception {
        CompletableFuture<Void> sending = sendAll(RunIT.TIMEOUT);
        List<MovedConnection> received = receiveTo(last);
        newEnd.writeLine(last == Step.CONNECTIONS ? "decline too many" : "ready 3");
        sending.get();
        if (last == Step.DESCRIPTORS) {
            UnixSocket.closeAll(MovedConnection.descriptors(received));
        }
        assertServedBy(old);
    }

    // ---- the old process fails

    /** Plays the old process. */
    private List<MovedConnection> sendTo(Step last) throws IOException {
        List<MovedConnection> released = old.releaseConnections(64);
        for (Step step : Step.values()) {
            switch (step) {
                case NOTHING -> {}
                case MOVE -> oldEnd.writeLine("move 3");
                case CONNECTIONS -> HandoverFormat.write(released, oldEnd.output());
                case RECEIVED -> assertThat(oldEnd.readLine()).isEqualTo("received");
                case DESCRIPTORS -> {
                    oldEnd.send(MovedConnection.descriptors(released));
                    oldEnd.writeLine("end");
                }
                case READY -> assertThat(oldEnd.readLine()).isEqualTo("ready");
                case COMMIT -> oldEnd.writeLine("commit");
            }
            if (step == last) {
                break;
            }
        }
        return released;
    }

    @ParameterizedTest
    @EnumSource
    void theNewProcessContinuesIfItIsReadyWhenTheOldOneEnds(Step last) throws Exception {
        CompletableFuture<Void> receiving = receiveAll();
        List<MovedConnection> released = sendTo(last);
        UnixSocket.closeAll(MovedConnection.descriptors(released));
        oldEnd.close();
        receiving.get();
        if (last.compareTo(Step.READY) >= 0) {
            assertServedBy(newForwarder);
        } else {
            assertThat(newForwarder.sessions()).isZero();
            for (Socket client : clients) {
                assertThat(client.getInputStream().read()).isEqualTo(-1);
            }
        }
    }

    @Test
    void anOldProcessThatCommitsTooLateLearnsIt() throws Exception {
        CompletableFuture<Void> receiving = receiveAll();
        List<MovedConnection> released = sendTo(Step.READY);
        receiving.get();
        assertThatThrownBy(() -> oldEnd.writeLine("commit")).isInstanceOf(IOException.class);
        old.takeBackConnections(released);
        assertServedBy(old);
    }

    @ParameterizedTest
    @EnumSource(names = {"NOTHING", "MOVE", "READY"})
    void garbageFromTheOldProcessChangesNothing(Step last) throws Exception {
        CompletableFuture<Void> receiving = receiveAll();
        List<MovedConnection> released = sendTo(last);
        oldEnd.writeLine("[{\"descriptor\":null}]");
        receiving.get();
        assertThatThrownBy(oldEnd::readLine).isInstanceOf(EOFException.class);
        old.takeBackConnections(released);
        assertServedBy(old);
    }

    @Test
    void anEmptySnapshotDoesNotEndConnections() throws Exception {
        newForwarder.apply(ServiceSnapshot.empty());
        connectionsMove();
        clients.get(0).setSoLinger(true, 0);
        clients.get(0).close();
        assertThatThrownBy(() -> endpoints.get(0).getInputStream().read()).isInstanceOf(SocketException.class);
    }
}
