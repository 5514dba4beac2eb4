package io.sluice.ops;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.entry;

import io.sluice.balance.EndpointChange;
import io.sluice.balance.EndpointHealth;
import io.sluice.balance.EndpointHealth.State;
import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SessionAffinity;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Log lines, events and reports for endpoints that start and stop failing. */
final class EndpointHealthLogTest {
    private static final ServicePortName WEB = new ServicePortName("shop", "web", "http", Protocol.TCP);
    private static final ServicePortName DNS = new ServicePortName("shop", "dns", "", Protocol.UDP);

    private final AtomicLong nanoTime = new AtomicLong(Long.MAX_VALUE - 5);
    private final EventLog events = new EventLog();
    private final List<EndpointReport> reports = new ArrayList<>();
    private final Map<ServicePortName, EndpointCounts> counts = new HashMap<>();
    private final StateLogLines log = new StateLogLines();
    /** Writes when it is closed; it can be closed repeatedly. */
    private final StateChangeLog stateLog = new StateChangeLog(
            Duration.ofHours(1),
            events,
            name -> counts.getOrDefault(name, EndpointCounts.NONE),
            reports::add,
            nanoTime::get);

    @AfterEach
    void stop() {
        log.close();
    }

    private static Endpoint endpoint(int number) {
        return new Endpoint(Objects.requireNonNull(IpAddress.parse("192.0.2." + number)), 8080);
    }

    private static EndpointHealth health(State state, int second) {
        String error = switch (state) {
            case REFUSING, EJECTED -> "connection refused";
            case SILENT -> "connect timeout";
            default -> "";
        };
        Instant since = Instant.EPOCH.plusSeconds(second);
        return new EndpointHealth(state, since, error, null, 1, state == State.EJECTED ? since.plusSeconds(10) : null);
    }

    private void change(ServicePortName service, int number, State before, State after, int second) {
        stateLog.endpoint(new EndpointChange(service, endpoint(number), health(before, 0), health(after, second)));
    }

    private List<String> written() {
        stateLog.close();
        return log.take();
    }

    @Test
    void logsWhenAnEndpointStartsAndStopsFailing() {
        change(WEB, 4, State.UNKNOWN, State.REFUSING, 10);
        change(WEB, 5, State.UP, State.SILENT, 11);
        assertThat(written())
                .containsExactly(
                        "WARN shop/web:http: endpoint 192.0.2.4:8080 is refusing connections: connection refused",
                        "WARN shop/web:http: endpoint 192.0.2.5:8080 is silent: connect timeout");
        change(WEB, 4, State.REFUSING, State.UP, 22);
        assertThat(written()).containsExactly("INFO shop/web:http: endpoint 192.0.2.4:8080 answers again after 12 s");
        assertThat(events.latest(EventLog.Filter.ALL, 3))
                .containsExactly(
                        event(1, 10, EventLog.Kind.FAILURE, "192.0.2.4:8080", "connection refused"),
                        event(2, 11, EventLog.Kind.FAILURE, "192.0.2.5:8080", "connect timeout"),
                        event(3, 22, EventLog.Kind.RECOVERY, "192.0.2.4:8080", "answers again after 12 s"));
        assertThat(reports)
                .contains(
                        new EndpointReport(
                                WEB,
                                endpoint(4),
                                true,
                                "port http: endpoint 192.0.2.4:8080 is refusing connections: connection refused"),
                        new EndpointReport(
                                WEB,
                                endpoint(4),
                                false,
                                "port http: endpoint 192.0.2.4:8080 answers again after 12 s"));
    }

    private static EventLog.Event event(long id, int second, EventLog.Kind kind, String endpoint, String reason) {
        return new EventLog.Event(id, Instant.EPOCH.plusSeconds(second), kind, "shop/web:http", endpoint, reason);
    }

    @Test
    void addsFieldsForTheJsonFormat() {
        change(WEB, 4, State.UP, State.REFUSING, 10);
        stateLog.close();
        assertThat(log.fields())
                .containsExactly(
                        entry("endpoint", "192.0.2.4:8080"),
                        entry("reason", "connection refused"),
                        entry("service", "shop/web:http"));
    }

    @Test
    void logsOnlyWhetherAnEndpointIsFailing() {
        change(WEB, 4, State.UNKNOWN, State.UP, 1);
        change(WEB, 5, State.UP, State.DRAINING, 1);
        assertThat(written()).isEmpty();
        change(WEB, 6, State.UP, State.REFUSING, 1);
        assertThat(written()).hasSize(1);
        change(WEB, 6, State.REFUSING, State.SILENT, 50);
        assertThat(written()).isEmpty();
        change(WEB, 6, State.SILENT, State.UP, 181);
        assertThat(written()).containsExactly("INFO shop/web:http: endpoint 192.0.2.6:8080 answers again after 3 min");
    }

    /** The event and the report are those of its first failure. */
    @Test
    void logsWhenAFailingEndpointIsEjected() {
        change(WEB, 4, State.UP, State.REFUSING, 1);
        stateLog.close();
        reports.clear();
        change(WEB, 4, State.REFUSING, State.EJECTED, 2);
        stateLog.close();
        change(WEB, 4, State.EJECTED, State.REFUSING, 3);
        stateLog.close();
        change(WEB, 4, State.REFUSING, State.UP, 11);
        assertThat(written())
                .containsExactly(
                        "WARN shop/web:http: endpoint 192.0.2.4:8080 is refusing connections: connection refused",
                        "INFO shop/web:http: endpoint 192.0.2.4:8080 is ejected for 10 s: connection refused",
                        "INFO shop/web:http: endpoint 192.0.2.4:8080 answers again after 10 s");
        assertThat(events.latest(EventLog.Filter.ALL, 3)).hasSize(2);
        assertThat(reports).extracting(EndpointReport::failing).containsExactly(false);
    }

    @Test
    void anEndpointMayFailAndBeEjectedAtOnce() {
        change(WEB, 4, State.UP, State.REFUSING, 1);
        change(WEB, 4, State.REFUSING, State.EJECTED, 1);
        assertThat(written())
                .containsExactly("WARN shop/web:http: endpoint 192.0.2.4:8080 is ejected for 10 s: connection refused");
    }

    @Test
    void combinesChangesThatEndAsTheyBegan() {
        change(WEB, 4, State.UP, State.REFUSING, 1);
        change(WEB, 4, State.REFUSING, State.UP, 1);
        change(WEB, 5, State.UP, State.REFUSING, 1);
        change(WEB, 5, State.REFUSING, State.SILENT, 2);
        assertThat(written()).containsExactly("WARN shop/web:http: endpoint 192.0.2.5:8080 is silent: connect timeout");
    }

    @Test
    void logsThatAUdpEndpointHasStoppedReportingErrors() {
        counts.put(DNS, new EndpointCounts(1, 1, 0));
        change(DNS, 4, State.UNKNOWN, State.REFUSING, 1);
        assertThat(written()).hasSize(2);
        counts.put(DNS, new EndpointCounts(1, 0, 1));
        change(DNS, 4, State.REFUSING, State.UNKNOWN, 21);
        assertThat(written())
                .containsExactly(
                        "INFO shop/dns: endpoint 192.0.2.4:8080 has stopped reporting errors after 20 s",
                        "INFO shop/dns: an endpoint works again (0 of 1 failing)");
    }

    @Test
    void logsTheLastStateOnceTheLimitAllowsIt() {
        for (int i = 0; i < 11; i++) {
            boolean fails = i % 2 == 0;
            counts.put(WEB, new EndpointCounts(1, fails ? 1 : 0, fails ? 0 : 1));
            change(WEB, 4, fails ? State.UP : State.REFUSING, fails ? State.REFUSING : State.UP, i);
            stateLog.close();
        }
        assertThat(log.take())
                .hasSize(21)
                .last()
                .isEqualTo("INFO further changes of endpoints of shop/web are not logged for a minute");
        nanoTime.addAndGet(TimeUnit.MINUTES.toNanos(1) - 1);
        assertThat(written()).isEmpty();
        nanoTime.incrementAndGet();
        assertThat(written())
                .containsExactly(
                        "INFO shop/web:http: after changes that were not logged, 1 of 1 failing",
                        "WARN shop/web:http: no endpoint answers (1 of 1 failing)");
        assertThat(written()).isEmpty();
    }

    @Test
    void namesTheProtocol() {
        change(DNS, 4, State.UP, State.REFUSING, 1);
        assertThat(written())
                .containsExactly("WARN shop/dns: endpoint 192.0.2.4:8080 is refusing datagrams: connection refused");
        assertThat(reports.get(0).message())
                .isEqualTo("endpoint 192.0.2.4:8080 is refusing datagrams: connection refused");
    }

    @Test
    void logsWhenNoEndpointIsLeft() {
        counts.put(WEB, new EndpointCounts(2, 1, 0));
        change(WEB, 4, State.UP, State.REFUSING, 1);
        assertThat(written()).hasSize(1);
        counts.put(WEB, new EndpointCounts(2, 2, 0));
        change(WEB, 5, State.UP, State.SILENT, 2);
        assertThat(written())
                .containsExactly(
                        "WARN shop/web:http: endpoint 192.0.2.5:8080 is silent: connect timeout",
                        "WARN shop/web:http: no endpoint answers (2 of 2 failing)");
        change(WEB, 5, State.SILENT, State.REFUSING, 3);
        assertThat(written()).isEmpty();
        counts.put(WEB, new EndpointCounts(2, 1, 1));
        change(WEB, 4, State.REFUSING, State.UP, 4);
        assertThat(written())
                .containsExactly(
                        "INFO shop/web:http: endpoint 192.0.2.4:8080 answers again after 3 s",
                        "INFO shop/web:http: an endpoint works again (1 of 2 failing)");
        assertThat(reports)
                .contains(
                        new EndpointReport(WEB, null, true, "port http: no endpoint answers (2 of 2 failing)"),
                        new EndpointReport(WEB, null, false, "port http: an endpoint works again (1 of 2 failing)"));
    }

    private static ServiceSnapshot web(int... endpoints) {
        List<Endpoint> all = IntStream.of(endpoints)
                .mapToObj(EndpointHealthLogTest::endpoint)
                .toList();
        FrontendAddress address =
                new FrontendAddress(Protocol.TCP, Objects.requireNonNull(IpAddress.parse("198.18.0.1")), 80);
        Frontend frontend = Frontend.of(address, Route.forward(all, Route.Source.CLIENT));
        return ServiceSnapshot.of(new ServicePort(WEB, SessionAffinity.NONE, Set.of(), List.of(frontend)));
    }

    @Test
    void noticesThatTheOnlyEndpointThatAnsweredWasRemoved() {
        ChangeLog changes = new ChangeLog(stateLog, Clock.systemUTC());
        changes.applied(web(4, 5));
        counts.put(WEB, new EndpointCounts(2, 1, 0));
        change(WEB, 4, State.UP, State.REFUSING, 1);
        assertThat(written()).hasSize(1);
        counts.put(WEB, new EndpointCounts(1, 1, 0));
        changes.applied(web(4));
        assertThat(written())
                .containsExactly(
                        "INFO shop/web: -1 endpoint 192.0.2.5:8080",
                        "WARN shop/web:http: no endpoint answers (1 of 1 failing)");
        // A new endpoint is not failing, but has not answered yet.
        counts.put(WEB, new EndpointCounts(2, 1, 0));
        changes.applied(web(4, 6));
        assertThat(written()).containsExactly("INFO shop/web: +1 endpoint 192.0.2.6:8080");
        counts.put(WEB, new EndpointCounts(2, 1, 1));
        change(WEB, 6, State.UNKNOWN, State.UP, 9);
        assertThat(written()).containsExactly("INFO shop/web:http: an endpoint works again (1 of 2 failing)");
    }

    @Test
    void forgetsARemovedService() {
        ChangeLog changes = new ChangeLog(stateLog, Clock.systemUTC());
        changes.applied(web(4));
        counts.put(WEB, new EndpointCounts(1, 1, 0));
        change(WEB, 4, State.UP, State.REFUSING, 1);
        assertThat(written()).hasSize(2);
        counts.clear();
        changes.applied(ServiceSnapshot.empty());
        changes.applied(web(4));
        counts.put(WEB, new EndpointCounts(1, 1, 0));
        assertThat(written()).containsExactly("INFO shop/web: removed", "INFO shop/web: added, 1 address, 1 endpoint");
        change(WEB, 4, State.UNKNOWN, State.REFUSING, 100);
        assertThat(written()).hasSize(2).last().asString().endsWith("no endpoint answers (1 of 1 failing)");
    }

    @Test
    void limitsTheLinesOfAServiceButNotTheLineThatNoEndpointIsLeft() {
        counts.put(WEB, new EndpointCounts(12, 12, 0));
        IntStream.rangeClosed(1, 12).forEach(i -> change(WEB, i, State.UP, State.REFUSING, 1));
        change(DNS, 1, State.UP, State.REFUSING, 1);
        List<String> lines = written();
        assertThat(lines).hasSize(13);
        assertThat(lines.subList(0, 10)).allMatch(line -> line.startsWith("WARN shop/web:http: endpoint 192.0.2."));
        assertThat(lines.subList(10, 13))
                .containsExactly(
                        "INFO further changes of endpoints of shop/web are not logged for a minute",
                        "WARN shop/dns: endpoint 192.0.2.1:8080 is refusing datagrams: connection refused",
                        "WARN shop/web:http: no endpoint answers (12 of 12 failing)");
        assertThat(events.after(0, new EventLog.Filter("shop/web", null), 99)).hasSize(11);
        assertThat(reports).hasSize(12);
        nanoTime.addAndGet(TimeUnit.MINUTES.toNanos(1) - 1);
        change(WEB, 1, State.REFUSING, State.SILENT, 2);
        change(WEB, 2, State.REFUSING, State.DISABLED, 2);
        change(WEB, 13, State.UP, State.SILENT, 2);
        assertThat(written()).isEmpty();
        nanoTime.incrementAndGet();
        change(WEB, 14, State.UP, State.SILENT, 2);
        assertThat(written())
                .containsExactly(
                        "WARN shop/web:http: endpoint 192.0.2.14:8080 is silent: connect timeout",
                        "INFO shop/web:http: after changes that were not logged, 12 of 12 failing");
    }
}
