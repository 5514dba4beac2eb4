package io.sluice.ops;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.entry;
import static org.awaitility.Awaitility.await;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.AppenderBase;
import io.sluice.document.Problem;
import io.sluice.document.Problem.Severity;
import io.sluice.forward.FrontendStatus;
import io.sluice.forward.FrontendStatus.Failure;
import io.sluice.forward.FrontendStatus.State;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
import io.sluice.stats.Stats;
import io.sluice.thread.Supervisor;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

/** Log lines for changes of frontends and problems. */
final class StateChangeLogTest {
    private final EventLog events = new EventLog();
    private final StateLogLines log = new StateLogLines();
    private final Logger logger = (Logger) LoggerFactory.getLogger("io.sluice.State");

    /** With a delay that never expires in a test: {@link StateChangeLog#close} writes the lines. */
    private final StateChangeLog stateLog = newLog(Duration.ofHours(1));

    private StateChangeLog newLog(Duration delay) {
        return new StateChangeLog(delay, events, name -> EndpointCounts.NONE, report -> {}, System::nanoTime);
    }

    @AfterEach
    void stop() {
        log.close();
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
        return log.all();
    }

    private static RejectionLog noRejections() {
        return new RejectionLog(new Stats(1), new EventLog(), System::nanoTime);
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
    void logsWhyAFrontendIsClosedAtStartup() {
        stateLog.frontend(
                status("127.0.0.1", 80, State.ACTIVE, Failure.NONE, "no endpoint to forward to; the port is closed"));
        stateLog.close();
        assertThat(lines())
                .containsExactly("INFO frontend 127.0.0.1:80/tcp active (shop/web:http): no endpoint to forward to;"
                        + " the port is closed");
    }

    @Test
    void leavesOrdinaryChangesAfterStartupToTheLineOfTheService() {
        stateLog.frontend(taken(82));
        stateLog.close();
        assertThat(log.take()).hasSize(1);
        stateLog.synced();
        stateLog.frontend(active(80));
        stateLog.frontend(status("127.0.0.1", 81, State.GONE, Failure.NONE, ""));
        stateLog.frontend(status("127.0.0.1", 82, State.GONE, Failure.NONE, ""));
        stateLog.close();
        assertThat(lines()).isEmpty();
    }

    @Test
    void logsFailuresAndRecoveriesAfterStartup() {
        stateLog.synced();
        stateLog.frontend(taken(81));
        stateLog.close();
        stateLog.frontend(active(81));
        stateLog.close();
        assertThat(lines())
                .containsExactly(
                        "WARN frontend 127.0.0.1:81/tcp failed (shop/web:http): another socket has the port",
                        "INFO frontend 127.0.0.1:81/tcp active again (shop/web:http)");
        assertThat(events.latest(EventLog.Filter.ALL, 10))
                .containsExactly(
                        new EventLog.Event(
                                1,
                                Instant.EPOCH,
                                EventLog.Kind.FAILURE,
                                "shop/web:http",
                                null,
                                "frontend 127.0.0.1:81/tcp failed: another socket has the port"),
                        new EventLog.Event(
                                2,
                                Instant.EPOCH,
                                EventLog.Kind.RECOVERY,
                                "shop/web:http",
                                null,
                                "frontend 127.0.0.1:81/tcp active again"));
    }

    @Test
    void addsFieldsForTheJsonFormat() {
        stateLog.frontend(taken(81));
        stateLog.close();
        assertThat(log.fields())
                .containsExactly(
                        entry("frontend", "127.0.0.1:81/tcp"),
                        entry("reason", "another socket has the port"),
                        entry("service", "shop/web:http"));
    }

    @Test
    void escapesControlCharactersInAReason() {
        stateLog.frontend(status("127.0.0.1", 81, State.FAILED, Failure.OTHER, "nft: a\nb\u001b[31m"));
        stateLog.close();
        assertThat(lines())
                .containsExactly("WARN frontend 127.0.0.1:81/tcp failed (shop/web:http): nft: a\\u000Ab\\u001B[31m");
        assertThat(log.fields()).containsEntry("reason", "nft: a\\u000Ab\\u001B[31m");
        assertThat(events.latest(EventLog.Filter.ALL, 1).get(0).reason()).endsWith("nft: a\\u000Ab\\u001B[31m");
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
        StateChangeLog quick = newLog(Duration.ZERO);
        quick.start(new Supervisor(), noRejections());
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
        StateChangeLog quick = newLog(Duration.ZERO);
        quick.start(supervisor, noRejections());
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
