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

/** What the process that serves does with all that may connect to its hand-over socket. */
final class HandoverServerTest {
    private static final Duration LIMIT = RunIT.PATIENCE;
    private static final int STRANGER = 65534;

    @TempDir
    private Path folder;

    private HandoverLab lab;
    private Forwarder serving;
    private HandoverServer port;
    private String flow;
    private final ReentrantLock changes = new ReentrantLock();
    private final List<String> closeReleased = new ArrayList<>();
    private boolean letGoFails;

    /** How far a new process comes in version 3. */
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
        port = lab.closing(new HandoverServer(path(), serving, new Supervisor(), changes, rules -> {
            closeReleased.add(rules);
            if (letGoFails) {
                throw new IllegalStateException("as the test wants");
            }
        }));
        port.open(false);
        flow = lab.use();
    }

    @AfterEach
    void nothingStaysOpen() throws Exception {
        lab.closeAll();
        assertThatThrownBy(lab::dial).as("a copy of the listening socket").isInstanceOf(ConnectException.class);
    }

    private Path path() {
        return folder.resolve("socket");
    }

    private UnixSocket connect() throws IOException {
        return lab.closing(UnixSocket.connect(path(), LIMIT));
    }

    private UnixSocket comeTo(Step last) throws IOException {
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

    /** As a new process does it. */
    private Outcome takeOver() throws IOException {
        try (OldProcess old = Objects.requireNonNull(OldProcess.connect(path()))) {
            assertThat(old.ask("rules")).contains(new Offer(3, 2));
            ForwarderHandover handOver = old.accept(2);
            Forwarder successor = lab.forwarder();
            successor.inherit(handOver);
            successor.apply(lab.snapshot);
            return old.serving();
        }
    }

    private void assertHandedOverToAnother() throws IOException {
        assertThat(takeOver()).isEqualTo(Outcome.RELEASED);
        assertThat(lab.use()).isEqualTo(flow);
        assertThat(closeReleased).containsExactly("rules");
    }

    @ParameterizedTest
    @EnumSource(names = {"CONNECTED", "HELLO", "ACCEPTED", "SAMPLE_READ", "SAMPLE_RECEIVED"})
    void nothingIsDetachedBeforeTheNewProcessHasProvedThatItCanServe(Step step) throws IOException {
        UnixSocket peer = comeTo(step);
        assertThat(lab.use()).as("while it stands still").isEqualTo(flow);
        peer.close();
        assertThat(lab.use()).as("after it has gone").isEqualTo(flow);
        assertHandedOverToAnother();
        // A connection that says nothing is how another process looks whether the socket is served.
        assertThat(lab.warnings("process 4711 did not prove that it can serve: "))
                .hasSize(step == Step.CONNECTED ? 0 : 1);
    }

    @ParameterizedTest
    @EnumSource(names = {"STATE_READ", "STATE_RECEIVED"})
    void everythingIsTakenBackFromANewProcessThatEnds(Step step) throws IOException {
        UnixSocket peer = comeTo(step);
        try (Socket waiting = lab.dial()) {
            peer.close();
            assertThat(HandoverLab.read(waiting)).isEqualTo("tcp");
        }
        assertThat(lab.use()).isEqualTo(flow);
        assertThat(lab.warnings("process 4711 wanted to take over and did not; going on: "))
                .hasSize(1);
        assertHandedOverToAnother();
    }

    @Test
    void aNewProcessHearsThatTheOldOneGoesOn() throws IOException {
        UnixSocket peer = comeTo(Step.STATE_RECEIVED);
        peer.writeLine("nonsense");
        assertThat(peer.readLine()).isEqualTo("kept");
        assertThat(lab.use()).isEqualTo(flow);
        assertHandedOverToAnother();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"accept 2 2", "accept 1000 0", "accept -1 2", "accept 1000", "decline too early", "serving"})
    void aNewProcessThatCannotServeGetsNothing(String answer) throws IOException {
        UnixSocket peer = comeTo(Step.HELLO);
        peer.writeLine(answer);
        assertThatThrownBy(peer::readLine).isInstanceOf(IOException.class);
        assertThat(lab.warnings("hand-over on ")).hasSize(1);
        assertThat(lab.warnings("going on")).isEmpty();
        assertHandedOverToAnother();
    }

    @Test
    void aNewProcessThatEndsWhileAChangeIsAppliedDetachesNothing() throws IOException {
        changes.lock();
        try {
            comeTo(Step.READY).close();
            assertThat(lab.use()).isEqualTo(flow);
        } finally {
            changes.unlock();
        }
        assertHandedOverToAnother();
        assertThat(lab.warnings("process 4711 did not prove that it can serve: "))
                .hasSize(1);
        assertThat(lab.warnings("going on")).as("of what was detached").isEmpty();
    }

    @Test
    void peersThatSendNothingOrTooMuchDoNotBlockATakeOver() throws IOException {
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
    void aFailureAfterTheNewProcessServesDoesNotKeepTheAnswerFromIt() throws IOException {
        letGoFails = true;
        assertHandedOverToAnother();
        assertThat(lab.warnings("a hand-over failed")).hasSize(1);
    }

    @Test
    void aLaterProcessIsToldThatAnotherHasTakenOver() throws IOException {
        assertHandedOverToAnother();
        UnixSocket late = connect();
        late.writeLine("sluice-hand-over-3 4712 none");
        assertThat(late.readLine()).isEqualTo("taken");
    }

    @Test
    void theSameRefusalIsLoggedOnceUntilThereIsAnother() throws IOException {
        for (int i = 0; i < 20; i++) {
            UnixSocket unknown = connect();
            unknown.writeLine("sluice-hand-over-99 1 x");
            assertThatThrownBy(unknown::readLine).isInstanceOf(IOException.class);
        }
        assertThat(lab.warnings("received 'sluice-hand-over-99' instead of")).hasSize(1);
        comeTo(Step.STATE_READ).close();
        UnixSocket again = connect();
        again.writeLine("sluice-hand-over-99 1 x");
        assertThatThrownBy(again::readLine).isInstanceOf(IOException.class);
        assertThat(lab.warnings("received 'sluice-hand-over-99' instead of"))
                .as("and once again")
                .hasSize(2);
    }

    @Test
    void aProcessOfAnotherUserGetsNothing() throws Exception {
        assumeThat(Files.getAttribute(folder, "unix:uid"))
                .as("needs root, to start a process of another user")
                .isEqualTo(0);
        Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwx--x--x"));
        assertThat(connectAsStranger()).as("the socket's mode").isNotZero();
        assertThat(lab.warnings("hand-over on ")).isEmpty();
        Files.setPosixFilePermissions(path(), PosixFilePermissions.fromString("rwxrwxrwx"));
        for (int i = 0; i < 3; i++) {
            assertThat(connectAsStranger()).isNotZero();
        }
        assertThat(lab.warnings("connection from user id 65534; only root and the own user are allowed"))
                .hasSize(1);
        assertThat(lab.use()).isEqualTo(flow);
        assertHandedOverToAnother();
    }

    private int connectAsStranger() throws Exception {
        return new ProcessBuilder(
                        "setpriv",
                        "--reuid=" + STRANGER,
                        "--regid=" + STRANGER,
                        "--clear-groups",
                        "curl",
                        "--silent",
                        "--unix-socket",
                        path().toString(),
                        "http://hand-over/")
                .start()
                .waitFor();
    }

    // ---- version 2

    private UnixSocket helloOfOlder(Path pipe) throws IOException {
        UnixSocket peer = connect();
        peer.writeLine("sluice-hand-over-2 4711 none " + pipe);
        return peer;
    }

    private Path pipe() {
        return folder.resolve("socket.4711");
    }

    @Test
    void anOlderProcessTakesOver() throws IOException {
        try (UnixListener pipes = UnixListener.bind(pipe())) {
            UnixSocket peer = helloOfOlder(pipe());
            ForwarderHandover offered = HandoverFormat.read(peer.input());
            UnixSocket pipe = lab.closing(Objects.requireNonNull(pipes.accept(LIMIT)));
            Forwarder successor = lab.forwarder();
            successor.inherit(
                    offered.withDescriptors(pipe.receive(offered.descriptors().size())));
            successor.apply(lab.snapshot);
            peer.writeLine("serving");
            assertThat(peer.readLine()).isEqualTo("released");
            assertThat(lab.use()).isEqualTo(flow);
        }
        assertThat(pipe()).doesNotExist();
    }

    @Test
    void anOlderProcessThatEndsLosesNothing() throws IOException {
        try (UnixListener pipes = UnixListener.bind(pipe())) {
            UnixSocket peer = helloOfOlder(pipe());
            peer.input().read();
            lab.closing(Objects.requireNonNull(pipes.accept(LIMIT), "connected before anything is detached"));
            peer.close();
        }
        assertThat(lab.use()).isEqualTo(flow);
        assertThat(pipe()).doesNotExist();
        assertHandedOverToAnother();
    }

    @Test
    void aPipeIsNotConnectedToAnywhereElse() throws IOException {
        Path elsewhere = Files.createDirectory(folder.resolve("elsewhere"));
        try (UnixListener there = UnixListener.bind(elsewhere.resolve("socket.4711"));
                UnixListener other = UnixListener.bind(folder.resolve("other.4711"))) {
            assertRefused(elsewhere.resolve("socket.4711"), "is not a socket of this user");
            assertRefused(folder.resolve("other.4711"), ".PID'");
            assertRefused(folder.resolve("socket.4712"), ".PID'");
            assertRefused(folder.resolve("socket.4711/../other.4711"), ".PID'");
            Files.createSymbolicLink(pipe(), elsewhere.resolve("socket.4711"));
            assertRefused(pipe(), "is not a socket of this user");
            assertThat(there.accept(LIMIT)).isNull();
            assertThat(other.accept(LIMIT)).isNull();
            assertThat(elsewhere.resolve("socket.4711")).exists();
            assertThat(Files.exists(pipe(), LinkOption.NOFOLLOW_LINKS)).isTrue();
        }
        Files.delete(pipe());
        Files.writeString(pipe(), "precious");
        assertRefused(pipe(), "is not a socket of this user");
        assertThat(pipe()).hasContent("precious");
        assertHandedOverToAnother();
    }

    @Test
    void aPipeOfAnotherUserIsNotConnectedTo() throws IOException {
        assumeThat(Files.getAttribute(folder, "unix:uid"))
                .as("needs root, to give files away")
                .isEqualTo(0);
        try (UnixListener pipes = UnixListener.bind(pipe())) {
            Files.setAttribute(pipe(), "unix:uid", STRANGER);
            assertRefused(pipe(), "is not a socket of this user");
            assertThat(pipes.accept(LIMIT)).isNull();
        }
    }

    /** Before anything is detached, and without a change to any file. */
    private void assertRefused(Path pipe, String why) throws IOException {
        UnixSocket peer = helloOfOlder(pipe);
        assertThatThrownBy(peer::readLine).isInstanceOf(IOException.class);
        await().untilAsserted(() -> assertThat(lab.warnings(why)).isNotEmpty());
        assertThat(lab.use()).isEqualTo(flow);
        assertThat(lab.warnings("going on")).isEmpty();
    }
}
