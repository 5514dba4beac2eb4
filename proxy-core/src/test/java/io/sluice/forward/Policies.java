package io.sluice.forward;

import io.sluice.model.Cidr;
import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.SessionAffinity;
import io.sluice.model.TrafficPolicy;
import io.sluice.model.TrafficPolicy.Balancing;
import io.sluice.model.TrafficPolicy.Lifetime;
import io.sluice.model.TrafficPolicy.Limits;
import io.sluice.model.TrafficPolicy.ProxyProtocol;
import io.sluice.model.TrafficPolicy.Removal;
import io.sluice.model.TrafficPolicy.Timeouts;
import java.time.Duration;
import java.util.List;
import java.util.Set;

/** Traffic policies with a single property that differs from the default, and service ports with a policy. */
final class Policies {
    private Policies() {}

    static TrafficPolicy of(Balancing balancing) {
        return of(balancing, Limits.NONE, Timeouts.DEFAULT, ProxyProtocol.NONE, Lifetime.DEFAULT);
    }

    static TrafficPolicy of(Limits limits) {
        return of(Balancing.DEFAULT, limits, Timeouts.DEFAULT, ProxyProtocol.NONE, Lifetime.DEFAULT);
    }

    static TrafficPolicy of(Timeouts timeouts) {
        return of(Balancing.DEFAULT, Limits.NONE, timeouts, ProxyProtocol.NONE, Lifetime.DEFAULT);
    }

    static TrafficPolicy of(ProxyProtocol proxyProtocol) {
        return of(Balancing.DEFAULT, Limits.NONE, Timeouts.DEFAULT, proxyProtocol, Lifetime.DEFAULT);
    }

    static TrafficPolicy of(Lifetime lifetime) {
        return of(Balancing.DEFAULT, Limits.NONE, Timeouts.DEFAULT, ProxyProtocol.NONE, lifetime);
    }

    private static TrafficPolicy of(
            Balancing balancing, Limits limits, Timeouts timeouts, ProxyProtocol proxyProtocol, Lifetime lifetime) {
        return new TrafficPolicy(balancing, limits, timeouts, proxyProtocol, lifetime, List.<Cidr>of(), true);
    }

    static Lifetime onRemoval(Removal removal, Duration drain) {
        return new Lifetime(removal, drain.toNanos(), 0, Lifetime.DEFAULT_HOLD_LIMIT, 0);
    }

    static Lifetime hold(Duration time, int limit) {
        return new Lifetime(Removal.KEEP, 0, time.toNanos(), limit, 0);
    }

    static Lifetime maxAge(Duration age) {
        return new Lifetime(Removal.KEEP, 0, 0, Lifetime.DEFAULT_HOLD_LIMIT, age.toNanos());
    }

    /** A service port whose endpoints are all serving. Without endpoints, TCP connections wait if the policy says so. */
    static ServicePort service(String name, FrontendAddress address, TrafficPolicy policy, Endpoint... endpoints) {
        boolean holds = address.protocol() == Protocol.TCP && policy.lifetime().holdNanos() > 0;
        Route none = holds ? Route.HOLD : Route.REJECT;
        return new ServicePort(
                Lab.service(name, address).name(),
                SessionAffinity.NONE,
                policy,
                Set.of(endpoints),
                Set.of(),
                List.of(Frontend.of(
                        address, endpoints.length == 0 ? none : Route.forward(List.of(endpoints), Route.Source.NODE))));
    }
}
