package io.sluice.handover;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assumptions.assumeThat;
import static org.awaitility.Awaitility.await;

import io.sluice.daemon.RunIT;
import io.sluice.forward.Forwarder;
import io.sluice.forward.ForwarderHandover;
import io.sluice.handover.OldProcess.Offer;
import io.sluice.handover.OldProcess.Outcome;
import io.sluice.socket.UnixListener;
import io.sluice.socket.UnixSocket;
import io.sluice.thread.Supervisor;
import java.io.IOException;
import java.net.ConnectException;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.locks.ReentrantLock;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Behavior of the old process, whatever connects to its handover socket. */
final class HandoverServerTest {
    private static final Duration TIMEOUT = RunIT.TIMEOUT;
    private static final int OTHER_UID = 65534;

    @TempDir
    private Path directory;

    private HandoverLab lab;
    private Forwarder serving;
    private HandoverServer port;
    private String flow;
    private final ReentrantLock changes = new ReentrantLock();
    private final List<String> closeReleased = new ArrayList<>();
    private boolean closeReleasedFails;

    /** Steps of a new process in version 3. */
    private enum Step {
        CONNECTED,
        HELLO,
        ACCEPTED,
        SAMPLE_READ,
        SAMPLE_RECEIVED,
        READY,
        STATE_READ,
        STATE_RECEIVED
    }

    @BeforeEach
    void serve() throws IOException {
        lab = new HandoverLab();
        serving = lab.forwarder();
        serving.apply(lab.snapshot);
        port = lab.closeLater(new HandoverServer(
                path(),
                serving,
                new Supervisor(),
                changes,
                "rules",
                rules -> {
                    closeReleased.add(rules);
                    if (closeReleasedFails) {
                        throw new IllegalStateException("simulated");
                    }
                },
                TIMEOUT,
                () -> false));
        port.open(false);
        flow = lab.use();
    }

    @AfterEach
    void nothingStaysOpen() throws Exception {
        lab.closeAll();
        assertThatThrownBy(lab::connectTcp).as("a copy of the listening socket").isInstanceOf(ConnectException.class);
    }

    private Path path() {
        return directory.resolve("socket");
    }

    private UnixSocket connect() throws IOException {
        return lab.closeLater(UnixSocket.connect(path(), TIMEOUT));
    }

    private UnixSocket advanceTo(Step last) throws IOException {
        UnixSocket peer = connect();
        for (Step step : Step.values()) {
            switch (step) {
                case CONNECTED -> {}
                case HELLO -> {
                    peer.writeLine("sluice-hand-over-3 4711 none");
                    assertThat(peer.readLine()).isEqualTo("offer 3 2");
                }
                case ACCEPTED -> peer.writeLine("accept 1000 2");
                case SAMPLE_READ, STATE_READ -> HandoverFormat.read(peer.input());
                case SAMPLE_RECEIVED -> receive(peer, 2);
                case READY -> peer.writeLine("ready");
                case STATE_RECEIVED -> receive(peer, 3);
            }
            if (step == last) {
                break;
            }
        }
        return peer;
    }

    private static void receive(UnixSocket peer, int descriptors) throws IOException {
        peer.writeLine("received");
        UnixSocket.closeAll(peer.receive(descriptors));
        assertThat(peer.readLine()).isEqualTo("end");
    }

    /** Receives a handover, as a new process does. */
    private Outcome requestHandover() throws IOException {
        try (OldProcess old = Objects.requireNonNull(OldProcess.connect(path()))) {
            assertThat(old.requestOffer(HandoverChannel.VERSION_3, "rules")).contains(new Offer(3, 2));
            ForwarderHandover handover = old.accept(2);
            Forwarder newForwarder = lab.forwarder();
            newForwarder.inherit(handover);
            newForwarder.apply(lab.snapshot);
            return old.serving();
        }
    }

    private void assertHandedOverToAnother() throws IOException {
        assertThat(requestHandover()).isEqualTo(Outcome.RELEASED);
        assertThat(lab.use()).isEqualTo(flow);
        assertThat(closeReleased).containsExactly("rules");
    }

    @ParameterizedTest
    @EnumSource(names = {"CONNECTED", "HELLO", "ACCEPTED", "SAMPLE_READ", "SAMPLE_RECEIVED"})
    void detachesNothingBeforeTheRehearsalHasSucceeded(Step step) throws IOException {
        UnixSocket peer = advanceTo(step);
        assertThat(lab.use()).as("while the new process is idle").isEqualTo(flow);
        peer.close();
        assertThat(lab.use())
                .as("after the new process has closed the connection")
                .isEqualTo(flow);
        assertHandedOverToAnother();
        // Other processes connect without sending anything to check whether this process listens.
        assertThat(lab.warnings("process 4711 failed the rehearsal: ")).hasSize(step == Step.CONNECTED ? 0 : 1);
    }

    @ParameterizedTest
    @EnumSource(names = {"STATE_READ", "STATE_RECEIVED"})
    void resumesServingIfTheNewProcessExits(Step step) throws IOException {
        UnixSocket peer = advanceTo(step);
        try (Socket pending = lab.connectTcp()) {
            peer.close();
            assertThat(HandoverLab.read(pending)).isEqualTo("tcp");
        }
        assertThat(lab.use()).isEqualTo(flow);
        assertThat(lab.warnings("handover to process 4711 failed; continuing to serve: "))
                .hasSize(1);
        assertHandedOverToAnother();
    }

    @Test
    void repliesKeptIfItResumesServing() throws IOException {
        UnixSocket peer = advanceTo(Step.STATE_RECEIVED);
        peer.writeLine("nonsense");
        assertThat(peer.readLine()).isEqualTo("kept");
        assertThat(lab.use()).isEqualTo(flow);
        assertHandedOverToAnother();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"accept 2 2", "accept 1000 0", "accept -1 2", "accept 1000", "decline too early", "serving"})
    void rejectsANewProcessThatCannotServe(String answer) throws IOException {
        UnixSocket peer = advanceTo(Step.HELLO);
        peer.writeLine(answer);
        assertThatThrownBy(peer::readLine).isInstanceOf(IOException.class);
        assertThat(lab.warnings("handover on ")).hasSize(1);
        assertThat(lab.warnings("continuing to serve")).isEmpty();
        assertHandedOverToAnother();
    }

    @Test
    void detachesNothingForANewProcessThatExitsDuringAChange() throws IOException {
        changes.lock();
        try {
            advanceTo(Step.READY).close();
            assertThat(lab.use()).isEqualTo(flow);
        } finally {
            changes.unlock();
        }
        assertHandedOverToAnother();
        assertThat(lab.warnings("process 4711 failed the rehearsal: ")).hasSize(1);
        assertThat(lab.warnings("continuing to serve"))
                .as("of what was detached")
                .isEmpty();
    }

    @Test
    void handsOverDespiteSilentAndVerbosePeers() throws IOException {
        for (int i = 0; i < 40; i++) {
            UnixSocket silent = connect();
            if (i % 2 == 0) {
                silent.output().write("sluice-hand".getBytes(UTF_8));
            }
        }
        connect().output().write(new byte[100_000]);
        assertHandedOverToAnother();
    }

    @Test
    void repliesReleasedEvenIfClosingFails() throws IOException {
        closeReleasedFails = true;
        assertHandedOverToAnother();
        // Logged after the reply.
        await().untilAsserted(() ->
                assertThat(lab.warnings("failed with an internal error")).hasSize(1));
    }

    @Test
    void repliesTakenAfterAHandover() throws IOException {
        assertHandedOverToAnother();
        UnixSocket late = connect();
        late.writeLine("sluice-hand-over-3 4712 none");
        assertThat(late.readLine()).isEqualTo("taken");
    }

    @Test
    void logsTheSameRejectionOnceUntilThereIsAnother() throws IOException {
        for (int i = 0; i < 20; i++) {
            UnixSocket unknown = connect();
            unknown.writeLine("sluice-hand-over-99 1 x");
            assertThatThrownBy(unknown::readLine).isInstanceOf(IOException.class);
        }
        assertThat(lab.warnings("received 'sluice-hand-over-99' instead of")).hasSize(1);
        advanceTo(Step.STATE_READ).close();
        UnixSocket again = connect();
        again.writeLine("sluice-hand-over-99 1 x");
        assertThatThrownBy(again::readLine).isInstanceOf(IOException.class);
        assertThat(lab.warnings("received 'sluice-hand-over-99' instead of"))
                .as("and once again")
                .hasSize(2);
    }

    @Test
    void rejectsAProcessOfAnotherUser() throws Exception {
        assumeThat(Files.getAttribute(directory, "unix:uid"))
                .as("needs root, to start a process of another user")
                .isEqualTo(0);
        Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwx--x--x"));
        assertThat(connectAsOtherUser()).as("the socket's mode").isNotZero();
        assertThat(lab.warnings("handover on ")).isEmpty();
        Files.setPosixFilePermissions(path(), PosixFilePermissions.fromString("rwxrwxrwx"));
        for (int i = 0; i < 3; i++) {
            assertThat(connectAsOtherUser()).isNotZero();
        }
        assertThat(lab.warnings("connection from user ID 65534; only root and this process's own user are allowed"))
                .hasSize(1);
        assertThat(lab.use()).isEqualTo(flow);
        assertHandedOverToAnother();
    }

    private int connectAsOtherUser() throws Exception {
        return new ProcessBuilder(
                        "setpriv",
                        "--reuid=" + OTHER_UID,
                        "--regid=" + OTHER_UID,
                        "--clear-groups",
                        "curl",
                        "--silent",
                        "--unix-socket",
                        path().toString(),
                        "http://handover/")
                .start()
                .waitFor();
    }

    // ---- version 2

    private UnixSocket helloOfVersion2(Path pipe) throws IOException {
        UnixSocket peer = connect();
        peer.writeLine("sluice-hand-over-2 4711 none " + pipe);
        return peer;
    }

    private Path pipe() {
        return directory.resolve("socket.4711");
    }

    @Test
    void handsOverInVersion2() throws IOException {
        try (UnixListener pipes = UnixListener.bind(pipe())) {
            UnixSocket peer = helloOfVersion2(pipe());
            ForwarderHandover offered = HandoverFormat.read(peer.input());
            UnixSocket pipe = lab.closeLater(Objects.requireNonNull(pipes.accept(TIMEOUT)));
            Forwarder newForwarder = lab.forwarder();
            newForwarder.inherit(
                    offered.withDescriptors(pipe.receive(offered.descriptors().size())));
            newForwarder.apply(lab.snapshot);
            peer.writeLine("serving");
            assertThat(peer.readLine()).isEqualTo("released");
            assertThat(lab.use()).isEqualTo(flow);
        }
        assertThat(pipe()).doesNotExist();
    }

    @Test
    void resumesServingIfAVersion2ProcessExits() throws IOException {
        try (UnixListener pipes = UnixListener.bind(pipe())) {
            UnixSocket peer = helloOfVersion2(pipe());
            peer.input().read();
            lab.closeLater(Objects.requireNonNull(pipes.accept(TIMEOUT), "connected before anything is detached"));
            peer.close();
        }
        assertThat(lab.use()).isEqualTo(flow);
        assertThat(pipe()).doesNotExist();
        assertHandedOverToAnother();
    }

    @Test
    void connectsOnlyToThePipeBesideTheSocket() throws IOException {
        Path elsewhere = Files.createDirectory(directory.resolve("elsewhere"));
        try (UnixListener there = UnixListener.bind(elsewhere.resolve("socket.4711"));
                UnixListener other = UnixListener.bind(directory.resolve("other.4711"))) {
            assertRejected(elsewhere.resolve("socket.4711"), "is not a socket of this user");
            assertRejected(directory.resolve("other.4711"), ".PID'");
            assertRejected(directory.resolve("socket.4712"), ".PID'");
            assertRejected(directory.resolve("socket.4711/../other.4711"), ".PID'");
            Files.createSymbolicLink(pipe(), elsewhere.resolve("socket.4711"));
            assertRejected(pipe(), "is not a socket of this user");
            assertThat(there.accept(TIMEOUT)).isNull();
            assertThat(other.accept(TIMEOUT)).isNull();
            assertThat(elsewhere.resolve("socket.4711")).exists();
            assertThat(Files.exists(pipe(), LinkOption.NOFOLLOW_LINKS)).isTrue();
        }
        Files.delete(pipe());
        Files.writeString(pipe(), "precious");
        assertRejected(pipe(), "is not a socket of this user");
        assertThat(pipe()).hasContent("precious");
        assertHandedOverToAnother();
    }

    @Test
    void doesNotConnectToAPipeOfAnotherUser() throws IOException {
        assumeThat(Files.getAttribute(directory, "unix:uid"))
                .as("needs root, to change the owner of a file")
                .isEqualTo(0);
        try (UnixListener pipes = UnixListener.bind(pipe())) {
            Files.setAttribute(pipe(), "unix:uid", OTHER_UID);
            assertRejected(pipe(), "is not a socket of this user");
            assertThat(pipes.accept(TIMEOUT)).isNull();
        }
    }

    /** Asserts that the hello is rejected before anything is detached. */
    private void assertRejected(Path pipe, String why) throws IOException {
        UnixSocket peer = helloOfVersion2(pipe);
        assertThatThrownBy(peer::readLine).isInstanceOf(IOException.class);
        await().untilAsserted(() -> assertThat(lab.warnings(why)).isNotEmpty());
        assertThat(lab.use()).isEqualTo(flow);
        assertThat(lab.warnings("continuing to serve")).isEmpty();
    }
}
