package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.forward.FrontendStatus.Failure;
import io.sluice.forward.FrontendStatus.State;
import io.sluice.model.AddressConflict;
import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Origins;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SnapshotContext;
import java.io.IOException;
import java.net.ServerSocket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Counts always agree with the list of frontends. */
class FrontendCountsTest {
    private static final int STEPS = 60;

    private final List<FrontendAddress> own = new ArrayList<>();
    private final List<FrontendAddress> foreign = new ArrayList<>();
    private final List<ServerSocket> taken = new ArrayList<>();

    /** Takes the lock under which all states change. */
    private static void check(Forwarder forwarder) {
        synchronized (forwarder) {
            assertThat(forwarder.counts()).isEqualTo(FrontendCounts.of(forwarder.frontends()));
        }
    }

    private ServiceSnapshot snapshot(Random random, Endpoint endpoint) {
        List<ServicePort> services = new ArrayList<>();
        List<AddressConflict> conflicts = new ArrayList<>();
        for (FrontendAddress address : own) {
            if (random.nextInt(4) > 0) {
                services.add(service(address, random, endpoint));
            }
        }
        for (FrontendAddress address : foreign) {
            if (random.nextBoolean()) {
                services.add(service(address, random, endpoint));
            }
        }
        for (int i = random.nextInt(3); i > 0; i--) {
            conflicts.add(new AddressConflict(own.get(i), name("loser", own.get(i)), name("owner", own.get(i))));
        }
        return ServiceSnapshot.of(services.toArray(ServicePort[]::new))
                .with(new SnapshotContext(Origins.UNKNOWN, Map.of(), List.of(), conflicts, List.of(), Set.of()));
    }

    private static ServicePortName name(String service, FrontendAddress address) {
        return new ServicePortName("test", service, "", address.protocol());
    }

    /** A port of one of two Services, sometimes without an endpoint. */
    private static ServicePort service(FrontendAddress address, Random random, Endpoint endpoint) {
        String name = (random.nextBoolean() ? "a" : "b") + address.port();
        return random.nextInt(3) == 0 ? Lab.service(name, address) : Lab.service(name, address, endpoint);
    }

    private void takePortOrFreeOne(FrontendAddress address, Random random) throws IOException {
        if (taken.isEmpty() || random.nextBoolean()) {
            ServerSocket socket = new ServerSocket();
            taken.add(socket);
            try {
                socket.bind(address.address().toSocketAddress(address.port()));
            } catch (IOException e) {
                assertThat(e).as("served").hasMessageContaining("in use");
            }
        } else {
            taken.remove(0).close();
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4})
    void countsMatchTheList(long seed) throws Exception {
        Random random = new Random(seed);
        for (int i = 0; i < 8; i++) {
            own.add(Lab.freeAddress(i % 2 == 0 ? Protocol.TCP : Protocol.UDP));
            foreign.add(new FrontendAddress(Protocol.TCP, Lab.ip("198.18.0." + (1 + i)), 80));
        }
        try (Lab lab = new Lab(2)) {
            Forwarder forwarder = lab.forwarder;
            Endpoint endpoint = lab.endpointServer("a").endpoint();
            for (int step = 0; step < STEPS; step++) {
                switch (random.nextInt(5)) {
                    case 4 ->
                        forwarder.rejected(
                                random.nextBoolean()
                                        ? Map.of()
                                        : Map.of(own.get(random.nextInt(8)), "rules", foreign.get(0), "rules"));
                    case 0 -> takePortOrFreeOne(own.get(random.nextInt(4) * 2), random);
                    case 1 -> lab.advance(Duration.ofSeconds(31));
                    case 2 -> forwarder.takeBack(forwarder.release());
                    default -> forwarder.apply(snapshot(random, endpoint));
                }
                check(forwarder);
            }
            for (ServerSocket socket : taken) {
                socket.close();
            }
            ServicePort[] last = own.stream()
                    .map(address -> Lab.service("last" + address.port(), address, endpoint))
                    .toArray(ServicePort[]::new);
            forwarder.rejected(Map.of());
            forwarder.apply(ServiceSnapshot.of(last));
            await().until(() -> {
                lab.advance(Duration.ofSeconds(1));
                return forwarder.counts().count(State.ACTIVE) == own.size();
            });
            check(forwarder);
            forwarder.stopAccepting();
            check(forwarder);
            forwarder.apply(snapshot(random, endpoint));
            check(forwarder);
            ForwarderHandover released = forwarder.release();
            check(forwarder);
            forwarder.closeReleased(released);
            check(forwarder);
            forwarder.close();
            check(forwarder);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void countsFailuresByReason(boolean taken) throws Exception {
        FrontendAddress address = Lab.freeAddress(Protocol.TCP);
        FrontendAddress foreignAddress = new FrontendAddress(Protocol.TCP, Lab.ip("198.18.0.1"), 80);
        try (Lab lab = new Lab(1);
                ServerSocket other = new ServerSocket()) {
            Endpoint endpoint = lab.endpointServer("a").endpoint();
            if (taken) {
                other.bind(address.address().toSocketAddress(address.port()));
            }
            lab.apply(Lab.service("a", address, endpoint), Lab.service("b", foreignAddress, endpoint));
            FrontendCounts counts = lab.forwarder.counts();
            assertThat(counts.total()).isEqualTo(2);
            assertThat(counts.count(State.ACTIVE)).isEqualTo(taken ? 0 : 1);
            assertThat(counts.count(State.FAILED)).isEqualTo(taken ? 2 : 1);
            assertThat(counts.failed(Failure.ADDRESS_IN_USE)).isEqualTo(taken ? 1 : 0);
            assertThat(counts.failed(Failure.ADDRESS_NOT_LOCAL)).isEqualTo(1);
            assertThat(counts.resourceExhausted()).isZero();
        }
    }
}
