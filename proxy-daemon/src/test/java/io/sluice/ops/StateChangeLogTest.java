package io.sluice.ops;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.AppenderBase;
import ch.qos.logback.core.read.ListAppender;
import io.sluice.document.Problem;
import io.sluice.document.Problem.Severity;
import io.sluice.forward.FrontendStatus;
import io.sluice.forward.FrontendStatus.Failure;
import io.sluice.forward.FrontendStatus.State;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
import io.sluice.thread.Supervisor;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

/** Log lines for changes of frontends and problems. */
final class StateChangeLogTest {
    /** With a delay that never expires in a test: {@link StateChangeLog#close} writes the lines. */
    private final StateChangeLog stateLog = new StateChangeLog(Duration.ofHours(1));

    private final ListAppender<ILoggingEvent> appender = new ListAppender<>();
    private final Logger logger = (Logger) LoggerFactory.getLogger("io.sluice.State");

    @BeforeEach
    void listen() {
        logger.setLevel(ch.qos.logback.classic.Level.INFO);
        appender.start();
        logger.addAppender(appender);
    }

    @AfterEach
    void stop() {
        logger.detachAppender(appender);
    }

    private static FrontendStatus status(String address, int port, State state, Failure failure, String reason) {
        return new FrontendStatus(
                new FrontendAddress(Protocol.TCP, Objects.requireNonNull(IpAddress.parse(address)), port),
                new ServicePortName("shop", "web", "http", Protocol.TCP),
                state,
                failure,
                reason,
                Instant.EPOCH);
    }

    private static FrontendStatus active(int port) {
        return status("127.0.0.1", port, State.ACTIVE, Failure.NONE, "");
    }

    private static FrontendStatus taken(int port) {
        return status("127.0.0.1", port, State.FAILED, Failure.ADDRESS_IN_USE, "another socket has the port");
    }

    private List<String> lines() {
        return appender.list.stream()
                .map(event -> event.getLevel() + " " + event.getFormattedMessage())
                .toList();
    }

    @Test
    void logsALineForEachOfFewChanges() {
        stateLog.frontend(status("127.0.0.1", 79, State.PENDING, Failure.NONE, ""));
        stateLog.frontend(active(80));
        stateLog.frontend(taken(81));
        stateLog.close();
        assertThat(lines())
                .containsExactly(
                        "INFO frontend 127.0.0.1:80/tcp active (shop/web:http)",
                        "WARN frontend 127.0.0.1:81/tcp failed (shop/web:http): another socket has the port");
    }

    @Test
    void logsRejectingAndRemovedFrontends() {
        stateLog.frontend(
                status("127.0.0.1", 80, State.ACTIVE, Failure.NONE, "no endpoint to forward to; the port is closed"));
        stateLog.frontend(status("127.0.0.1", 81, State.GONE, Failure.NONE, ""));
        stateLog.close();
        assertThat(lines())
                .containsExactly(
                        "INFO frontend 127.0.0.1:80/tcp active (shop/web:http): no endpoint to forward to; the port is closed",
                        "INFO frontend 127.0.0.1:81/tcp removed (shop/web:http)");
    }

    @Test
    void summarizesManyChanges() {
        for (int port = 1; port <= 10_000; port++) {
            stateLog.frontend(active(port));
        }
        for (int port = 10_001; port <= 10_030; port++) {
            stateLog.frontend(taken(port));
        }
        stateLog.close();
        assertThat(lines()).hasSize(12).contains("INFO 10000 frontends active");
        assertThat(lines().get(11)).isEqualTo("WARN 20 more frontends failed; /debug/frontends lists them");
    }

    @Test
    void doesNotLogARepeatedFailureAgain() {
        StateChangeLog quick = new StateChangeLog(Duration.ZERO);
        quick.start(new Supervisor());
        quick.frontend(taken(81));
        await().until(() -> lines().size() == 1);
        quick.frontend(taken(81));
        quick.frontend(active(82));
        await().until(() -> lines().size() == 2);
        quick.frontend(active(81));
        await().until(() -> lines().size() == 3);
        quick.frontend(taken(81));
        await().until(() -> lines().size() == 4);
        quick.close();
        assertThat(lines().stream().filter(line -> line.startsWith("WARN"))).hasSize(2);
    }

    @Test
    void continuesAfterItsThreadHasFailed() {
        AppenderBase<ILoggingEvent> failing = new AppenderBase<>() {
            @Override
            protected void append(ILoggingEvent event) {
                if (event.getFormattedMessage().contains(":81/")) {
                    throw new StackOverflowError("simulated");
                }
            }
        };
        failing.start();
        logger.addAppender(failing);
        Supervisor supervisor = new Supervisor();
        StateChangeLog quick = new StateChangeLog(Duration.ZERO);
        quick.start(supervisor);
        quick.frontend(active(81));
        await().until(() -> lines().size() == 1);
        quick.frontend(active(82));
        await().until(() -> lines().size() == 2);
        assertThat(supervisor.failures()).isEmpty();
        quick.close();
        logger.detachAppender(failing);
    }

    @Test
    void addsTheRemedyForANonLocalAddress() {
        assertThat(StateChangeLog.reason(status("10.96.0.10", 53, State.FAILED, Failure.ADDRESS_NOT_LOCAL, "x")))
                .isEqualTo("10.96.0.10 is not an address of this machine; to listen on the same ports under"
                        + " 127.0.0.0/8, add --map-frontends 10.96.0.0/12=127.96.0.0/12");
        assertThat(StateChangeLog.reason(status("172.20.3.4", 53, State.FAILED, Failure.ADDRESS_NOT_LOCAL, "x")))
                .endsWith("--map-frontends 172.16.0.0/12=127.16.0.0/12");
        assertThat(StateChangeLog.reason(status("fd00::1", 53, State.FAILED, Failure.ADDRESS_NOT_LOCAL, "x")))
                .startsWith("fd00::1 is not an address of this machine; add it to an interface");
    }

    @Test
    void logsNewAndResolvedProblems() {
        Problem error = new Problem(Severity.ERROR, "a.yaml", "Service a/b", "spec.ports[0].port", "0 is not a port");
        Problem note = new Problem(Severity.NOTE, "b.yaml", "Pod a/c", "", "not used");
        stateLog.problem(error, true);
        stateLog.problem(note, true);
        stateLog.problem(new Problem(Severity.ERROR, "c.yaml", "", "", "was there"), false);
        Problem brief = new Problem(Severity.ERROR, "d.yaml", "", "", "came and went");
        stateLog.problem(brief, true);
        stateLog.problem(brief, false);
        stateLog.close();
        assertThat(lines())
                .containsExactly(
                        "WARN a.yaml: Service a/b: spec.ports[0].port: 0 is not a port",
                        "INFO b.yaml: Pod a/c: not used",
                        "INFO resolved: c.yaml: was there");
    }
}
