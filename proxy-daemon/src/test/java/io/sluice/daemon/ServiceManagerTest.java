package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sluice.daemon.Lifecycle.Phase;
import io.sluice.socket.UnixDatagram;
import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Messages to a real Unix datagram socket. */
final class ServiceManagerTest {
    private static final String SERVING =
            "READY=1\nMAINPID=" + ProcessHandle.current().pid() + "\nSTATUS=serving";

    @TempDir
    private Path directory;

    private Lifecycle lifecycle(boolean anotherServes, long newPid) {
        ServiceManager manager = new ServiceManager(directory.resolve("s").toString(), () -> newPid);
        return new Lifecycle(anotherServes, manager::phaseChanged);
    }

    @Test
    void reportsServingAndStopping() throws Exception {
        try (NotifySocket socket = new NotifySocket(directory.resolve("s").toString())) {
            Lifecycle lifecycle = lifecycle(false, 0);
            lifecycle.enter(Phase.SERVING);
            lifecycle.enter(Phase.DRAINING);
            lifecycle.enter(Phase.CLOSED);
            assertThat(socket.messages()).containsExactly(SERVING, "STOPPING=1\nSTATUS=draining open connections");
        }
    }

    @Test
    void anOldProcessReportsTheNewMainProcessAndNotThatItStops() throws Exception {
        try (NotifySocket socket = new NotifySocket(directory.resolve("s").toString())) {
            Lifecycle old = lifecycle(false, 4712);
            old.enter(Phase.SERVING);
            old.enter(Phase.HANDED_OVER);
            old.enter(Phase.DRAINING);
            old.enter(Phase.CLOSED);
            assertThat(socket.messages()).containsExactly(SERVING, "MAINPID=4712");
        }
    }

    @Test
    void aNewProcessReportsNothingUntilItServes() throws Exception {
        try (NotifySocket socket = new NotifySocket(directory.resolve("s").toString())) {
            lifecycle(true, 0).enter(Phase.DRAINING);
            Lifecycle failed = lifecycle(true, 0);
            failed.enter(Phase.HANDOVER_FAILED);
            failed.enter(Phase.DRAINING);
            assertThat(socket.messages()).isEmpty();
            Lifecycle lifecycle = lifecycle(true, 0);
            lifecycle.handoverReceived();
            lifecycle.enter(Phase.SERVING);
            assertThat(socket.messages()).containsExactly(SERVING);
        }
    }

    @Test
    void continuesWithoutASocketAndIfThereIsNone() {
        Lifecycle withoutReceiver = lifecycle(false, 0);
        assertThat(withoutReceiver.enter(Phase.SERVING)).isTrue();
        assertThat(withoutReceiver.enter(Phase.DRAINING)).isTrue();
        Lifecycle withoutVariable = new Lifecycle(false, new ServiceManager(null, () -> 0)::phaseChanged);
        assertThat(withoutVariable.enter(Phase.SERVING)).isTrue();
    }

    @Test
    void sendsToAnAbstractSocket() throws Exception {
        String name = "@sluice-test-" + ProcessHandle.current().pid();
        try (NotifySocket socket = new NotifySocket(name)) {
            UnixDatagram.send(name, "READY=1");
            assertThat(socket.messages()).containsExactly("READY=1");
        }
        assertThatThrownBy(() -> UnixDatagram.send(name, "READY=1")).isInstanceOf(IOException.class);
        assertThatThrownBy(() -> UnixDatagram.send("/" + "x".repeat(200), "READY=1"))
                .hasMessage("the address has 201 bytes; at most 107 are possible");
        assertThatThrownBy(() -> UnixDatagram.send(directory.resolve("s").toString(), "READY=1"))
                .hasMessage("no such socket");
    }
}
