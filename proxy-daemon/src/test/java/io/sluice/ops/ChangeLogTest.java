package io.sluice.ops;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.entry;

import io.sluice.model.Cidr;
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
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Log lines and events for the changes between applied snapshots. */
final class ChangeLogTest {
    private static final Instant NOW = Instant.parse("2026-01-31T12:00:00Z");

    private final AtomicLong nanoTime = new AtomicLong(Long.MAX_VALUE - 5);
    private final EventLog events = new EventLog();
    private final StateLogLines log = new StateLogLines();
    /** Writes when it is closed; it can be closed repeatedly. */
    private final StateChangeLog stateLog =
            new StateChangeLog(Duration.ofHours(1), events, name -> EndpointCounts.NONE, report -> {}, nanoTime::get);

    private final ChangeLog changes = new ChangeLog(stateLog, Clock.fixed(NOW, ZoneOffset.UTC));

    @AfterEach
    void stop() {
        log.close();
    }

    private static IpAddress ip(String address) {
        return Objects.requireNonNull(IpAddress.parse(address));
    }

    private static FrontendAddress address(String address, int port) {
        return new FrontendAddress(Protocol.TCP, ip(address), port);
    }

    private static Route route(String... endpoints) {
        List<Endpoint> all = Arrays.stream(endpoints)
                .map(text -> new Endpoint(ip(text), 8080))
                .toList();
        return all.isEmpty() ? Route.REJECT : Route.forward(all, Route.Source.CLIENT);
    }

    private static ServicePort port(String service, String port, Frontend... frontends) {
        return new ServicePort(
                new ServicePortName("shop", service, port, Protocol.TCP),
                SessionAffinity.NONE,
                Set.of(),
                List.of(frontends));
    }

    private static ServicePort web(String... endpoints) {
        return port("web", "http", Frontend.of(address("198.18.0.1", 80), route(endpoints)));
    }

    /** Applies two snapshots and returns the lines for the second one. */
    private List<String> change(ServiceSnapshot before, ServiceSnapshot after) {
        changes.applied(before);
        stateLog.close();
        assertThat(log.take()).isEmpty();
        changes.applied(after);
        stateLog.close();
        return log.all();
    }

    private List<String> change(ServicePort before, ServicePort after) {
        return change(ServiceSnapshot.of(before), ServiceSnapshot.of(after));
    }

    @Test
    void logsNothingForTheFirstSnapshotOrAnEqualOne() {
        assertThat(change(web("192.0.2.1"), web("192.0.2.1"))).isEmpty();
        assertThat(events.lastId()).isZero();
    }

    @Test
    void logsRemovedEndpoints() {
        assertThat(change(web("192.0.2.1", "192.0.2.2"), web("192.0.2.1")))
                .containsExactly("INFO shop/web: -1 endpoint 192.0.2.2:8080");
    }

    @Test
    void logsWhenNoEndpointsAreLeft() {
        assertThat(change(web("192.0.2.1", "192.0.2.2"), web()))
                .containsExactly(
                        "INFO shop/web: -2 endpoints 192.0.2.1:8080, 192.0.2.2:8080; no endpoints left for port"
                                + " http");
        log.take();
        changes.applied(ServiceSnapshot.of(web("2001:db8::1")));
        stateLog.close();
        assertThat(log.all()).containsExactly("INFO shop/web: +1 endpoint [2001:db8::1]:8080");
    }

    @Test
    void namesAtMostFiveAndSortsThem() {
        assertThat(change(
                        web("192.0.2.1"),
                        web(
                                "192.0.2.1",
                                "192.0.2.10",
                                "192.0.2.9",
                                "192.0.2.8",
                                "192.0.2.7",
                                "192.0.2.6",
                                "192.0.2.5")))
                .containsExactly("INFO shop/web: +6 endpoints 192.0.2.5:8080, 192.0.2.6:8080, 192.0.2.7:8080,"
                        + " 192.0.2.8:8080, 192.0.2.9:8080 and 1 more");
    }

    @Test
    void countsAnEndpointOfSeveralRoutesOnce() {
        Frontend local = new Frontend(
                Frontend.Kind.NODE_PORT,
                address("198.18.0.9", 30080),
                route("192.0.2.1", "192.0.2.2"),
                route("192.0.2.1"),
                Route.DROP,
                List.of());
        ServicePort after =
                port("web", "http", Frontend.of(address("198.18.0.1", 80), route("192.0.2.2", "192.0.2.1")), local);
        assertThat(change(web("192.0.2.1"), after))
                .containsExactly("INFO shop/web: +1 address 198.18.0.9:30080/tcp; +1 endpoint 192.0.2.2:8080");
    }

    @Test
    void logsAllPortsOfAServiceInOneLine() {
        ServicePort metrics = port("web", "metrics", Frontend.of(address("198.18.0.1", 9090), route("192.0.2.1")));
        ServicePort unchanged = port("web", "tls", Frontend.of(address("198.18.0.1", 443), route("192.0.2.3")));
        assertThat(change(
                        ServiceSnapshot.of(web("192.0.2.1"), unchanged),
                        ServiceSnapshot.of(web("192.0.2.1", "192.0.2.2"), unchanged, metrics)))
                .containsExactly("INFO shop/web: +1 port metrics; +1 address 198.18.0.1:9090/tcp; +2 endpoints"
                        + " 192.0.2.1:8080, 192.0.2.2:8080");
    }

    @Test
    void distinguishesAnAddedServiceFromAnAddedPort() {
        ServicePort metrics = port("web", "metrics", Frontend.of(address("198.18.0.1", 9090), route("192.0.2.1")));
        assertThat(change(ServiceSnapshot.of(web("192.0.2.1")), ServiceSnapshot.of(web("192.0.2.1"), metrics)))
                .containsExactly("INFO shop/web: +1 port metrics; +1 address 198.18.0.1:9090/tcp; +1 endpoint"
                        + " 192.0.2.1:8080");
        changes.applied(ServiceSnapshot.empty());
        changes.applied(ServiceSnapshot.of(web("192.0.2.1"), metrics));
        changes.applied(ServiceSnapshot.of(metrics));
        log.take();
        stateLog.close();
        assertThat(log.all())
                .containsExactly(
                        "INFO shop/web: removed",
                        "INFO shop/web: added, 2 addresses, 1 endpoint",
                        "INFO shop/web: -1 port http; -1 address 198.18.0.1:80/tcp; -1 endpoint 192.0.2.1:8080");
    }

    @Test
    void logsSessionAffinity() {
        ServicePort plain = web("192.0.2.1");
        ServicePort sticky = new ServicePort(plain.name(), new SessionAffinity(10_800), Set.of(), plain.frontends());
        assertThat(change(plain, sticky)).containsExactly("INFO shop/web: session affinity ClientIP 3h");
        log.take();
        changes.applied(ServiceSnapshot.of(plain));
        stateLog.close();
        assertThat(log.all()).containsExactly("INFO shop/web: session affinity None");
    }

    @Test
    void logsSourceRangesAndOtherRoutes() {
        Route route = route("192.0.2.1");
        FrontendAddress at = address("198.18.0.1", 80);
        Frontend open = new Frontend(Frontend.Kind.LOAD_BALANCER, at, route, route, route, List.of());
        Frontend limited = new Frontend(
                Frontend.Kind.LOAD_BALANCER,
                at,
                route,
                route,
                route,
                List.of(Objects.requireNonNull(Cidr.parse("192.0.2.0/24"))));
        Frontend local = new Frontend(Frontend.Kind.LOAD_BALANCER, at, route, route, Route.DROP, List.of());
        assertThat(change(port("web", "", open), port("web", "", limited)))
                .containsExactly("INFO shop/web: source ranges 192.0.2.0/24");
        log.take();
        changes.applied(ServiceSnapshot.of(port("web", "", open)));
        changes.applied(ServiceSnapshot.of(port("web", "", local)));
        changes.applied(ServiceSnapshot.of(new ServicePort(
                port("web", "").name(),
                SessionAffinity.NONE,
                Set.of(new Endpoint(ip("192.0.2.7"), 53)),
                List.of(local))));
        stateLog.close();
        assertThat(log.all())
                .containsExactly(
                        "INFO shop/web: no source ranges",
                        "INFO shop/web: routes changed",
                        "INFO shop/web: endpoints of established connections and flows changed");
    }

    @Test
    void addsFieldsAndAnEvent() {
        change(web("192.0.2.1", "192.0.2.2"), web("192.0.2.1"));
        assertThat(log.fields())
                .containsExactly(entry("reason", "-1 endpoint 192.0.2.2:8080"), entry("service", "shop/web"));
        assertThat(events.latest(EventLog.Filter.ALL, 10))
                .containsExactly(new EventLog.Event(
                        1, NOW, EventLog.Kind.CHANGE, "shop/web", null, "-1 endpoint 192.0.2.2:8080"));
    }

    private static ServiceSnapshot services(int from, int to, String endpoint) {
        return ServiceSnapshot.of(IntStream.range(from, to)
                .mapToObj(i -> port("s" + (1_000 + i), "", Frontend.of(address("198.18.0.1", i + 1), route(endpoint))))
                .toArray(ServicePort[]::new));
    }

    @Test
    void combinesMoreThanTenLinesASecond() {
        List<String> expected = new ArrayList<>();
        IntStream.range(0, 10)
                .forEach(i -> expected.add("INFO shop/s" + (1_000 + i) + ": added, 1 address, 1 endpoint"));
        expected.add("INFO 12 more Services changed");
        assertThat(change(ServiceSnapshot.empty(), services(0, 22, "192.0.2.1")))
                .isEqualTo(expected);
        assertThat(events.lastId()).isEqualTo(22);
        log.take();
        changes.applied(services(0, 23, "192.0.2.1"));
        stateLog.close();
        assertThat(log.take()).containsExactly("INFO 1 more Service changed");
        nanoTime.addAndGet(TimeUnit.SECONDS.toNanos(1));
        changes.applied(services(0, 22, "192.0.2.1"));
        stateLog.close();
        assertThat(log.all()).containsExactly("INFO shop/s1022: removed");
    }

    @Test
    void keepsTheEventsOfTheLastThousandOfManyChanges() {
        change(services(0, 3_000, "192.0.2.1"), services(0, 3_000, "192.0.2.2"));
        List<EventLog.Event> kept = events.after(0, EventLog.Filter.ALL, 5_000);
        assertThat(kept).hasSize(1_000);
        assertThat(kept.get(999).service()).isEqualTo("shop/s3999");
        assertThat(kept.get(0).service()).isEqualTo("shop/s3000");
    }
}
