package io.sluice.ops;

import static org.assertj.core.api.Assertions.assertThat;

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
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** The table of {@code check} and {@code demo}. */
final class ServiceTableTest {
    private static ServicePort port(
            String service, Protocol protocol, int affinitySeconds, int endpoints, int... tails) {
        List<Endpoint> all = IntStream.rangeClosed(1, endpoints)
                .mapToObj(i -> new Endpoint(IpAddress.v4(0x0a000000 | i), 8080))
                .toList();
        Route route = endpoints == 0 ? Route.REJECT : Route.forward(all, Route.Source.NODE);
        return new ServicePort(
                new ServicePortName("shop", service, "", protocol),
                new SessionAffinity(affinitySeconds),
                Set.of(),
                IntStream.of(tails)
                        .mapToObj(tail ->
                                Frontend.of(new FrontendAddress(protocol, IpAddress.v4(0x7f600000 | tail), 80), route))
                        .toList());
    }

    @Test
    void printsARowPerServicePortInAlignedColumns() {
        assertThat(ServiceTable.lines(ServiceSnapshot.of(
                        port("web", Protocol.TCP, 10_800, 3, 1, 2),
                        port("dns", Protocol.UDP, 0, 1, 3),
                        port("gone", Protocol.TCP, 90, 0, 4),
                        port("big", Protocol.TCP, 600, 9, 5))))
                .containsExactly(
                        "SERVICE    ADDRESS            AFFINITY      ENDPOINTS",
                        "shop/big   127.96.0.5:80/tcp  ClientIP 10m  9: 10.0.0.1:8080, 10.0.0.2:8080",
                        "                                               10.0.0.3:8080, 10.0.0.4:8080",
                        "                                               10.0.0.5:8080, 10.0.0.6:8080",
                        "                                               and 3 more",
                        "shop/dns   127.96.0.3:80/udp  -             1: 10.0.0.1:8080",
                        "shop/gone  127.96.0.4:80/tcp  ClientIP 90s  none: rejected",
                        "shop/web   127.96.0.1:80/tcp  ClientIP 3h   3: 10.0.0.1:8080, 10.0.0.2:8080",
                        "           127.96.0.2:80/tcp                   10.0.0.3:8080");
    }

    @Test
    void printsThatNoClientIsAllowed() {
        Route none = Route.REJECT;
        ServicePort web = new ServicePort(
                new ServicePortName("shop", "web", "", Protocol.TCP),
                new SessionAffinity(0),
                Set.of(),
                List.of(new Frontend(
                        Frontend.Kind.CLUSTER_IP,
                        new FrontendAddress(Protocol.TCP, IpAddress.v4(0x7f600001), 80),
                        none,
                        none,
                        none,
                        List.of(new Cidr(IpAddress.v4(0), 32)))));
        assertThat(ServiceTable.lines(ServiceSnapshot.of(web)))
                .element(1)
                .asString()
                .endsWith("-         no client is allowed");
    }

    @Test
    void printsAddressesLeftToAProcessOnTheNode() {
        ServicePort web = port("web", Protocol.TCP, 0, 1, 1);
        ServicePort left = new ServicePort(
                web.name(),
                web.affinity(),
                Set.of(),
                List.of(web.frontends().get(0).passing()));
        assertThat(ServiceTable.lines(ServiceSnapshot.of(left)))
                .last()
                .asString()
                .endsWith("not proxied: left to a process on this node");
    }

    @Test
    void printsARowPerSetOfEndpoints() {
        ServicePort web = port("web", Protocol.TCP, 0, 1, 1, 2);
        Frontend six = Frontend.of(
                new FrontendAddress(Protocol.TCP, Objects.requireNonNull(IpAddress.parse("::1")), 80), Route.REJECT);
        ServicePort dual = new ServicePort(
                web.name(),
                web.affinity(),
                Set.of(),
                List.of(
                        web.frontends().get(0),
                        six,
                        web.frontends().get(1),
                        Frontend.of(new FrontendAddress(Protocol.TCP, IpAddress.v4(0x7f600003), 80), Route.DROP)));
        assertThat(ServiceTable.lines(ServiceSnapshot.of(dual)))
                .containsExactly(
                        "SERVICE   ADDRESS            AFFINITY  ENDPOINTS",
                        "shop/web  127.96.0.1:80/tcp  -         1: 10.0.0.1:8080",
                        "          127.96.0.2:80/tcp",
                        "          [::1]:80/tcp                 none: rejected",
                        "          127.96.0.3:80/tcp            no local endpoint: dropped");
    }
}
