package io.sluice.model;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

class ServiceSnapshotTest {
    private static ServicePortName name(int i) {
        return new ServicePortName("ns", "s" + i / 2, "", i % 2 == 0 ? Protocol.TCP : Protocol.UDP);
    }

    /** The i-th service port in a given version. Equal arguments give equal values, but different instances. */
    private static ServicePort port(int i, int version) {
        Route route = version == 0
                ? Route.REJECT
                : Route.forward(List.of(new Endpoint(IpAddress.v4(version), 80)), Route.Source.NODE);
        FrontendAddress address = new FrontendAddress(name(i).protocol(), IpAddress.v4(i), 80);
        return new ServicePort(name(i), SessionAffinity.NONE, Set.of(), List.of(Frontend.of(address, route)));
    }

    private static Map<ServicePortName, ServicePort> contents(ServiceSnapshot snapshot) {
        Map<ServicePortName, ServicePort> all = new HashMap<>();
        snapshot.forEach(port -> assertThat(all.put(port.name(), port)).isNull());
        return all;
    }

    @Test
    void applyingADiffToTheOldSnapshotGivesTheNewOne() {
        Random random = new Random(1);
        ServiceSnapshot snapshot = ServiceSnapshot.empty();
        Map<ServicePortName, ServicePort> model = new HashMap<>();
        for (int round = 0; round < 1_000; round++) {
            Map<ServicePortName, ServicePort> puts = new HashMap<>();
            Set<ServicePortName> remove = new LinkedHashSet<>();
            for (int n = random.nextInt(8); n > 0; n--) {
                int i = random.nextInt(300);
                if (random.nextInt(3) == 0) {
                    remove.add(name(i));
                } else {
                    puts.put(name(i), port(i, random.nextInt(3)));
                }
            }
            puts.keySet().removeAll(remove);
            List<ServicePort> put = List.copyOf(puts.values());
            ServiceSnapshot next = snapshot.with(put, remove);
            remove.forEach(model::remove);
            put.forEach(port -> model.put(port.name(), port));

            assertThat(contents(next)).isEqualTo(model);
            assertThat(next.size()).isEqualTo(model.size());
            assertDiffLeadsFromTo(snapshot, next);
            assertUnchangedServicePortsKeepTheirInstance(snapshot, next);
            snapshot = next;
        }
    }

    private static void assertDiffLeadsFromTo(ServiceSnapshot before, ServiceSnapshot after) {
        SnapshotDiff diff = SnapshotDiff.between(before, after);
        Map<ServicePortName, ServicePort> state = contents(before);
        for (ServicePort removed : diff.removed()) {
            assertThat(state.remove(removed.name())).isSameAs(removed);
        }
        for (SnapshotDiff.Change change : diff.changed()) {
            assertThat(change.before()).isNotEqualTo(change.after());
            assertThat(state.put(change.after().name(), change.after())).isSameAs(change.before());
        }
        for (ServicePort added : diff.added()) {
            assertThat(state.put(added.name(), added)).isNull();
        }
        assertThat(state).isEqualTo(contents(after));
        assertThat(diff.isEmpty()).isEqualTo(contents(before).equals(contents(after)));
    }

    private static void assertUnchangedServicePortsKeepTheirInstance(ServiceSnapshot before, ServiceSnapshot after) {
        after.forEach(port -> {
            ServicePort was = before.get(port.name());
            if (port.equals(was)) {
                assertThat(port).isSameAs(was);
            }
        });
    }

    @Test
    void anUpdateWithoutChangesReturnsTheSameSnapshot() {
        ServiceSnapshot snapshot = ServiceSnapshot.of(port(1, 1), port(2, 1));
        assertThat(snapshot.with(List.of(), List.of())).isSameAs(snapshot);
        assertThat(snapshot.with(List.of(port(1, 1)), List.of(name(3)))).isSameAs(snapshot);
    }

    @Test
    void aRevertedChangeIsNotInTheDiff() {
        ServiceSnapshot before = ServiceSnapshot.of(port(1, 1), port(2, 1));
        ServiceSnapshot away = before.with(List.of(port(1, 2), port(9, 1)), List.of(name(2)));
        ServiceSnapshot back = away.with(List.of(port(1, 1), port(2, 1)), List.of(name(9)));
        assertThat(SnapshotDiff.between(before, away).isEmpty()).isFalse();
        assertThat(SnapshotDiff.between(before, back).isEmpty()).isTrue();
        assertThat(SnapshotDiff.between(before, before).isEmpty()).isTrue();
    }

    @Test
    void anUpdateDoesNotChangeTheEarlierSnapshot() {
        ServiceSnapshot before = ServiceSnapshot.of(port(1, 1));
        before.with(List.of(port(1, 2), port(2, 1)), List.of());
        assertThat(contents(before)).isEqualTo(Map.of(name(1), port(1, 1)));
        assertThat(ServiceSnapshot.empty().size()).isZero();
    }

    @Test
    void sortsByName() {
        ServiceSnapshot snapshot = ServiceSnapshot.of(port(5, 1), port(0, 1), port(4, 1), port(1, 1));
        assertThat(snapshot.sorted()).extracting(ServicePort::name).containsExactly(name(0), name(1), name(4), name(5));
    }

    @Test
    void routesKeepTheInstanceOfAnImmutableList() {
        List<Endpoint> endpoints = List.of(new Endpoint(IpAddress.v4(1), 80));
        assertThat(Route.forward(endpoints, Route.Source.NODE).endpoints()).isSameAs(endpoints);
    }

    @Test
    void rejectsInvalidValues() {
        assertThatIllegalArgumentException().isThrownBy(() -> Route.forward(List.of(), Route.Source.NODE));
        assertThatIllegalArgumentException().isThrownBy(() -> new Endpoint(IpAddress.v4(1), 0));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> new FrontendAddress(Protocol.TCP, IpAddress.v4(1), 65_536));
        assertThatIllegalArgumentException().isThrownBy(() -> new SessionAffinity(-1));
    }

    @Test
    void printsAsKubernetesDoes() {
        assertThat(new ServicePortName("ns", "web", "http", Protocol.TCP)).hasToString("ns/web:http");
        assertThat(new ServicePortName("ns", "web", "", Protocol.TCP)).hasToString("ns/web");
        IpAddress v6 = requireNonNull(IpAddress.parse("fd00::1"));
        assertThat(new FrontendAddress(Protocol.UDP, v6, 53)).hasToString("[fd00::1]:53/udp");
        assertThat(new Endpoint(v6, 53)).hasToString("[fd00::1]:53");
    }

    @Test
    void aFrontendHasARouteForEachOrigin() {
        FrontendAddress address = new FrontendAddress(Protocol.TCP, IpAddress.v4(1), 80);
        Route forward = Route.forward(List.of(new Endpoint(IpAddress.v4(2), 80)), Route.Source.CLIENT);
        Frontend frontend =
                new Frontend(Frontend.Kind.LOAD_BALANCER, address, forward, Route.DROP, Route.REJECT, List.of());
        assertThat(frontend.route(Origin.POD)).isSameAs(forward);
        assertThat(frontend.route(Origin.NODE)).isSameAs(Route.DROP);
        assertThat(frontend.route(Origin.EXTERNAL)).isSameAs(Route.REJECT);
        assertThat(frontend.isListening()).isTrue();
        assertThat(Frontend.of(address, Route.REJECT).isListening()).isFalse();
    }
}
