package io.sluice.forward;

import io.sluice.model.Cidr;
import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.SessionAffinity;
import io.sluice.model.TrafficPolicy;
import io.sluice.model.TrafficPolicy.ProxyHeader;
import io.sluice.model.TrafficPolicy.ProxyProtocol;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import org.awaitility.Awaitility;
import org.awaitility.core.ConditionFactory;

/** Services whose traffic policy uses the PROXY protocol. */
final class ProxyProtocolLab {
    /** All peers on loopback. */
    static final ProxyProtocol ACCEPT = accept("127.0.0.0/8", ProxyHeader.NONE);

    private ProxyProtocolLab() {}

    static ProxyProtocol accept(String from, ProxyHeader send) {
        return new ProxyProtocol(send, List.of(cidr(from)));
    }

    static ProxyProtocol send(ProxyHeader version) {
        return new ProxyProtocol(version, List.of());
    }

    static Cidr cidr(String text) {
        return Objects.requireNonNull(Cidr.parse(text));
    }

    static ServicePort service(FrontendAddress address, ProxyProtocol proxyProtocol, Endpoint... endpoints) {
        return service(address, proxyProtocol, SessionAffinity.NONE, TrafficPolicy.Limits.NONE, List.of(), endpoints);
    }

    static ServicePort service(
            FrontendAddress address,
            ProxyProtocol proxyProtocol,
            SessionAffinity affinity,
            TrafficPolicy.Limits limits,
            List<Cidr> allowedSources,
            Endpoint... endpoints) {
        Route route = Route.forward(List.of(endpoints), Route.Source.NODE);
        Frontend frontend = new Frontend(Frontend.Kind.LOAD_BALANCER, address, route, route, route, allowedSources);
        return new ServicePort(
                new ServicePortName(
                        "test", "proxied-" + address.address().family().bits(), "", address.protocol()),
                affinity,
                new TrafficPolicy(
                        TrafficPolicy.Balancing.DEFAULT,
                        limits,
                        TrafficPolicy.Timeouts.DEFAULT,
                        proxyProtocol,
                        TrafficPolicy.Lifetime.DEFAULT,
                        List.of(),
                        true),
                address.protocol() == Protocol.UDP ? Set.of(endpoints) : Set.of(),
                Set.of(),
                List.of(frontend));
    }

    /** Waits with frequent checks, because each test waits several times. */
    static ConditionFactory await() {
        return Awaitility.await().pollInterval(Duration.ofMillis(5));
    }

    /** Waits for the end of the only connection, and returns its client's address and port. */
    static String endedClient(Lab lab) {
        await().until(() -> lab.ended.size() == 1);
        EndedConnection ended = lab.ended.get(0);
        return ended.client() + " " + ended.clientPort();
    }
}
