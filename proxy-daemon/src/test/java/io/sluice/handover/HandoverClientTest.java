package io.sluice.handover;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sluice.daemon.RunIT;
import io.sluice.forward.Forwarder;
import io.sluice.forward.ForwarderHandover;
import io.sluice.forward.FrontendStatus;
import io.sluice.handover.HandoverClient.Result;
import io.sluice.model.ServiceSnapshot;
import io.sluice.socket.UnixListener;
import io.sluice.socket.UnixSocket;
import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.net.ConnectException;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Behavior of a new process, whatever the old process does and sends. */
@Tag("one-jdk")
final class HandoverClientTest {
    @TempDir
    private Path directory;

    private HandoverLab lab;
    private Forwarder old;
    private Forwarder newForwarder;
    private UnixListener listening;
    private ForwarderHandover offered = new ForwarderHandover(List.of(), List.of(), List.of());
    private String flow;
    /** Protocol version of the old process. */
    private int version = HandoverChannel.VERSION;
    /** Socket that the old process sends in the rehearsal. */
    private io.netty.channel.unix.Socket sample;

    /** Steps of the old process in version 4; version 3 has no SAMPLE_CONNECTION. */
    private enum Step {
        CONNECTED,
        OFFER,
        SAMPLE,
        SAMPLE_DESCRIPTORS,
        SAMPLE_CONNECTION,
        READY,
        HALF_OF_STATE,
        STATE,
        ONE_DESCRIPTOR,
        DESCRIPTORS,
        END,
        SERVING
    }

    /** Behavior of the old process on one connection. */
    private interface Script {
        void run(UnixSocket peer) throws IOException;
    }

    @BeforeEach
    void serve() throws IOException {
        lab = new HandoverLab();
        old = lab.forwarder();
        old.apply(lab.snapshot);
        flow = lab.use();
        listening = lab.closeLater(UnixListener.bind(path()));
        newForwarder = lab.forwarder();
        sample = io.netty.channel.unix.Socket.newSocketDgram();
    }

    @AfterEach
    void nothingStaysOpen() throws Exception {
        sample.close();
        lab.closeAll();
        assertThatThrownBy(lab::connectTcp).as("a copy of the listening socket").isInstanceOf(ConnectException.class);
    }

    private Path path() {
        return directory.resolve("socket");
    }

    private HandoverClient handoverClient() {
        return new HandoverClient(path(), newForwarder, "none", false);
    }

    /** Requests a handover from an old process that runs these scripts, one for each connection. */
    private Result requestHandover(ServiceSnapshot snapshot, Script... scripts) throws Exception {
        CompletableFuture<Void> ended = CompletableFuture.runAsync(() -> {
            for (Script script : scripts) {
                try {
                    UnixSocket peer = lab.closeLater(accept());
                    script.run(peer);
                    peer.close();
                } catch (IOException | AssertionError e) {
                    listening.close();
                    throw new AssertionError(e);
                }
            }
        });
        Result result = handoverClient().requestHandover(snapshot);
        try {
            ended.get();
        } catch (ExecutionException e) {
            throw new AssertionError(e.getCause());
        }
        return result;
    }

    private UnixSocket accept() throws IOException {
        UnixSocket peer = listening.accept(RunIT.TIMEOUT);
        while (peer == null) {
            Thread.onSpinWait();
            peer = listening.accept(RunIT.TIMEOUT);
        }
        return peer;
    }

    private void advanceTo(Step last, UnixSocket peer) throws IOException {
        for (Step step : Step.values()) {
            switch (step) {
                case CONNECTED -> assertThat(peer.readLine()).matches("sluice-hand-over-" + version + " [0-9]+ none");
                case OFFER -> {
                    peer.writeLine("offer 3 2");
                    assertThat(peer.readLine()).matches("accept [0-9]+ 2");
                }
                case SAMPLE -> {
                    HandoverFormat.write(HandoverFormat.SAMPLE, peer.output());
                    assertThat(peer.readLine()).isEqualTo("received");
                }
                case SAMPLE_DESCRIPTORS -> {
                    peer.send(List.of(sample.intValue(), sample.intValue()));
                    peer.writeLine("end");
                }
                case SAMPLE_CONNECTION -> {
                    if (version == HandoverChannel.VERSION) {
                        HandoverFormat.write(HandoverFormat.SAMPLE_CONNECTIONS, peer.output());
                        assertThat(peer.readLine()).isEqualTo("received");
                        HandoverFormat.writeBuffers(HandoverFormat.SAMPLE_CONNECTIONS, peer.output());
                        peer.send(List.of(sample.intValue(), sample.intValue()));
                        peer.writeLine("end");
                    }
                }
                case READY -> {
                    assertThat(peer.readLine()).isEqualTo("ready");
                    offered = old.release();
                }
                case HALF_OF_STATE -> {
                    if (step == last) {
                        peer.output().write("{\"frontends\":[{\"addr".getBytes(UTF_8));
                    }
                }
                case STATE -> HandoverFormat.write(offered, peer.output());
                case ONE_DESCRIPTOR -> {
                    assertThat(peer.readLine()).isEqualTo("received");
                    peer.send(offered.descriptors().subList(0, 1));
                }
                case DESCRIPTORS ->
                    peer.send(offered.descriptors()
                            .subList(1, offered.descriptors().size()));
                case END -> peer.writeLine("end");
                case SERVING -> assertThat(peer.readLine()).isEqualTo("serving");
            }
            if (step == last) {
                return;
            }
        }
    }

    /** Closes everything of the old process, as the kernel does for a killed process. */
    private void kill(UnixSocket peer) {
        listening.close();
        old.closeReleased(offered);
        old.close();
        peer.close();
    }

    @ParameterizedTest
    @EnumSource
    void servesAtWhateverStepTheOldProcessIsKilled(Step step) throws Exception {
        Result result = requestHandover(lab.snapshot, peer -> {
            advanceTo(step, peer);
            kill(peer);
        });
        assertThat(result).isEqualTo(Result.SERVING);
        String now = lab.use();
        if (step.compareTo(Step.END) >= 0) {
            assertThat(now).as("the flow, whose socket was handed over").isEqualTo(flow);
        }
    }

    @Test
    void servesAClientThatConnectedDuringTheHandover() throws Exception {
        Socket[] waiting = new Socket[1];
        Result result = requestHandover(lab.snapshot, peer -> {
            advanceTo(Step.READY, peer);
            waiting[0] = lab.closeLater(lab.connectTcp());
            HandoverFormat.write(offered, peer.output());
            assertThat(peer.readLine()).isEqualTo("received");
            peer.send(offered.descriptors());
            peer.writeLine("end");
            assertThat(peer.readLine()).isEqualTo("serving");
            old.closeReleased(offered);
            peer.writeLine("released");
        });
        assertThat(result).isEqualTo(Result.SERVING);
        assertThat(HandoverLab.read(waiting[0])).isEqualTo("tcp");
        assertThat(lab.use()).isEqualTo(flow);
    }

    @Test
    void failsIfTheOldProcessResumesServing() throws Exception {
        Result result = requestHandover(lab.snapshot, peer -> {
            advanceTo(Step.SERVING, peer);
            old.takeBack(offered);
            peer.writeLine("kept");
        });
        assertThat(result).isEqualTo(Result.HANDOVER_FAILED);
        assertThat(lab.use()).isEqualTo(flow);
    }

    @Test
    void failsIfTheOldProcessResumedServingAndClosedEarlier() throws Exception {
        Result result = requestHandover(lab.snapshot, peer -> {
            advanceTo(Step.END, peer);
            peer.writeLine("kept");
            peer.close();
            old.takeBack(offered);
        });
        assertThat(result).isEqualTo(Result.HANDOVER_FAILED);
        assertThat(lab.use()).isEqualTo(flow);
    }

    @Test
    void rejectsTooManyDescriptorsAndClosesThem() throws Exception {
        Script more = peer -> {
            advanceTo(Step.READY, peer);
            HandoverFormat.write(offered, peer.output());
            assertThat(peer.readLine()).isEqualTo("received");
            peer.send(offered.descriptors());
            peer.send(offered.descriptors().subList(0, 1));
            assertThatThrownBy(() -> {
                        peer.writeLine("end");
                        peer.readLine();
                    })
                    .isInstanceOf(IOException.class);
            kill(peer);
        };
        assertThat(requestHandover(lab.snapshot, more)).isEqualTo(Result.SERVING);
        assertThat(lab.use()).as("a cold start").isNotEmpty();
    }

    @Test
    void declinesMoreDescriptorsThanItCanOpen() throws Exception {
        Result result = requestHandover(lab.snapshot, peer -> {
            peer.readLine();
            peer.writeLine("offer 999999999 2");
            assertThat(peer.readLine()).matches("decline can open only [0-9]+ of 999999999 descriptors");
        });
        assertThat(result).isEqualTo(Result.HANDOVER_FAILED);
        assertThat(lab.warnings("cannot receive 999999999 descriptors")).hasSize(1);
        assertThat(newForwarder.frontends()).isEmpty();
    }

    @Test
    void declinesWhileOnlyTheOldProcessHasServices() throws Exception {
        Result result = requestHandover(ServiceSnapshot.empty(), peer -> {
            peer.readLine();
            peer.writeLine("offer 3 2");
            assertThat(peer.readLine()).isEqualTo("decline nothing to serve yet");
        });
        assertThat(result).isEqualTo(Result.WAITING);
    }

    @Test
    void acceptsIfNeitherProcessHasServices() throws Exception {
        old.apply(ServiceSnapshot.empty());
        ForwarderHandover nothing = old.release();
        Result result = requestHandover(ServiceSnapshot.empty(), peer -> {
            peer.readLine();
            peer.writeLine("offer 0 0");
            assertThat(peer.readLine()).matches("accept [0-9]+ 0");
            HandoverFormat.write(HandoverFormat.SAMPLE, peer.output());
            assertThat(peer.readLine()).isEqualTo("received");
            peer.send(List.of(sample.intValue(), sample.intValue()));
            peer.writeLine("end");
            HandoverFormat.write(HandoverFormat.SAMPLE_CONNECTIONS, peer.output());
            assertThat(peer.readLine()).isEqualTo("received");
            HandoverFormat.writeBuffers(HandoverFormat.SAMPLE_CONNECTIONS, peer.output());
            peer.send(List.of(sample.intValue(), sample.intValue()));
            peer.writeLine("end");
            assertThat(peer.readLine()).isEqualTo("ready");
            HandoverFormat.write(nothing, peer.output());
            assertThat(peer.readLine()).isEqualTo("received");
            peer.writeLine("end");
            assertThat(peer.readLine()).isEqualTo("serving");
            peer.writeLine("released");
        });
        assertThat(result).isEqualTo(Result.SERVING);
    }

    @Test
    void connectsToTheProcessThatReceivedTheHandoverBefore() throws Exception {
        Script taken = peer -> {
            peer.readLine();
            peer.writeLine("taken");
        };
        // More than the number of attempts after a failure.
        Script[] scripts = new Script[7];
        Arrays.fill(scripts, taken);
        scripts[6] = peer -> {
            advanceTo(Step.SERVING, peer);
            old.closeReleased(offered);
            peer.writeLine("released");
        };
        assertThat(requestHandover(lab.snapshot, scripts)).isEqualTo(Result.SERVING);
        assertThat(lab.use()).isEqualTo(flow);
    }

    /** An older version has less or no rehearsal, so it must not be used with a process that supports a newer one. */
    @ParameterizedTest
    @EnumSource(names = {"OFFER", "SAMPLE", "SAMPLE_DESCRIPTORS", "SAMPLE_CONNECTION"})
    void usesNoOlderVersionAfterAnOffer(Step last) throws Exception {
        Result result = requestHandover(lab.snapshot, peer -> advanceTo(last, peer), peer -> {
            advanceTo(Step.SERVING, peer);
            old.closeReleased(offered);
            peer.writeLine("released");
        });
        assertThat(result).isEqualTo(Result.SERVING);
        assertThat(lab.use()).isEqualTo(flow);
    }

    @Test
    void rejectsEndlessNestedAndUnknownState() throws Exception {
        Script endless = peer -> {
            advanceTo(Step.READY, peer);
            OutputStream out = peer.output();
            out.write('{');
            byte[] blanks = new byte[1 << 20];
            Arrays.fill(blanks, (byte) ' ');
            assertThatThrownBy(() -> {
                        while (true) {
                            out.write(blanks);
                        }
                    })
                    .isInstanceOf(IOException.class)
                    .isNotInstanceOf(SocketTimeoutException.class);
            old.takeBack(offered);
        };
        Script last = peer -> {
            advanceTo(Step.READY, peer);
            peer.output().write("{\"frontends\":[],\"services\":[],\"more\":1}".getBytes(UTF_8));
            assertThatThrownBy(peer::readLine).isInstanceOf(EOFException.class);
            kill(peer);
        };
        assertThat(requestHandover(
                        lab.snapshot, endless, instead("[".repeat(1000)), instead("{\"frontends\":null}"), last))
                .isEqualTo(Result.SERVING);
        lab.use();
    }

    private Script instead(String text) {
        return peer -> {
            advanceTo(Step.READY, peer);
            peer.output().write(text.getBytes(UTF_8));
            assertThatThrownBy(peer::readLine).isInstanceOf(EOFException.class);
            old.takeBack(offered);
        };
    }

    @Test
    void startsColdIfTheOldProcessSpeaksNoKnownVersion() throws Exception {
        Script unknownVersion = peer -> {
            peer.readLine();
            peer.writeLine("HTTP/1.1 400 Bad Request");
        };
        assertThat(requestHandover(
                        lab.snapshot, unknownVersion, unknownVersion, unknownVersion, unknownVersion, unknownVersion))
                .isEqualTo(Result.SERVING);
        assertThat(lab.warnings("(cold start)")).hasSize(1);
        assertThat(newForwarder.frontends())
                .extracting(FrontendStatus::state)
                .containsOnly(FrontendStatus.State.FAILED);
    }

    @Test
    void receivesAHandoverInVersion3() throws Exception {
        version = HandoverChannel.VERSION_3;
        Result result = requestHandover(lab.snapshot, HandoverClientTest::closeAfterHello, peer -> {
            advanceTo(Step.SERVING, peer);
            old.closeReleased(offered);
            peer.writeLine("released");
        });
        assertThat(result).isEqualTo(Result.SERVING);
        assertThat(lab.use()).isEqualTo(flow);
    }

    // ---- version 2

    private Script version2(boolean keepsServing) {
        return peer -> {
            String[] hello = peer.readLine().split(" ", 4);
            assertThat(hello).startsWith("sluice-hand-over-2");
            assertThat(hello[3])
                    .isEqualTo(directory.resolve("socket." + hello[1]).toString());
            offered = old.release();
            try (UnixSocket pipe = UnixSocket.connect(Path.of(hello[3]), RunIT.TIMEOUT)) {
                HandoverFormat.write(offered, peer.output());
                pipe.send(offered.descriptors());
                assertThat(peer.readLine()).isEqualTo("serving");
            }
            if (keepsServing) {
                old.takeBack(offered);
            } else {
                old.closeReleased(offered);
                peer.writeLine("released");
            }
        };
    }

    private static void closeAfterHello(UnixSocket peer) throws IOException {
        peer.readLine();
    }

    @Test
    void receivesAHandoverInVersion2() throws Exception {
        assertThat(requestHandover(
                        lab.snapshot,
                        HandoverClientTest::closeAfterHello,
                        HandoverClientTest::closeAfterHello,
                        version2(false)))
                .isEqualTo(Result.SERVING);
        assertThat(lab.use()).isEqualTo(flow);
        try (var left = Files.list(directory)) {
            assertThat(left).containsExactly(path());
        }
    }

    @Test
    void failsIfAVersion2ProcessResumesServing() throws Exception {
        assertThat(requestHandover(
                        lab.snapshot,
                        HandoverClientTest::closeAfterHello,
                        HandoverClientTest::closeAfterHello,
                        version2(true)))
                .isEqualTo(Result.HANDOVER_FAILED);
        assertThat(lab.use()).isEqualTo(flow);
    }

    @Test
    void doesNotRequestAVersion2HandoverWithoutServices() throws Exception {
        Script expectClose = peer -> assertThatThrownBy(peer::readLine).isInstanceOf(EOFException.class);
        assertThat(requestHandover(
                        ServiceSnapshot.empty(),
                        HandoverClientTest::closeAfterHello,
                        HandoverClientTest::closeAfterHello,
                        expectClose))
                .isEqualTo(Result.WAITING);
    }
}
