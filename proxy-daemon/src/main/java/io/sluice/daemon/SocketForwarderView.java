package io.sluice.daemon;

import io.sluice.balance.EndpointStatus;
import io.sluice.config.Settings;
import io.sluice.forward.DirectConnections;
import io.sluice.forward.Forwarder;
import io.sluice.forward.FrontendStatus;
import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.node.NodeRules;
import io.sluice.socketlb.ForwarderView;
import io.sluice.socketlb.SocketLoadBalancer;
import java.util.Set;
import java.util.concurrent.Executor;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** Connects socket-level load balancing with the forwarder: both use the same endpoints, counters and health. */
final class SocketForwarderView implements ForwarderView {
    private final Forwarder forwarder;
    private final DirectConnections direct;
    private final Supplier<Set<IpAddress>> nodeAddresses;

    private SocketForwarderView(Forwarder forwarder, Supplier<Set<IpAddress>> nodeAddresses) {
        this.forwarder = forwarder;
        this.nodeAddresses = nodeAddresses;
        this.direct = forwarder.directConnections();
    }

    /** @param whileServing runs a task if this process serves and no handover is in progress; otherwise drops it */
    static SocketLoadBalancer open(
            Settings settings, Forwarder forwarder, @Nullable NodeRules rules, Executor whileServing) {
        Supplier<Set<IpAddress>> none = Set::of;
        return SocketLoadBalancer.open(
                settings.socketLb(),
                settings.buildOptions().masqueradeAll(),
                new SocketForwarderView(forwarder, rules == null ? none : rules.addresses()::own),
                whileServing);
    }

    @Override
    public Set<Endpoint> outOfUse(ServicePortName name) {
        return forwarder.endpoints(name).stream()
                .filter(status -> switch (status.health().state()) {
                    case EJECTED, DRAINING, DISABLED -> true;
                    case UNKNOWN, UP, REFUSING, SILENT -> false;
                })
                .map(EndpointStatus::endpoint)
                .collect(Collectors.toSet());
    }

    @Override
    public Set<FrontendAddress> failed(ServicePort servicePort) {
        return forwarder.frontends(servicePort).stream()
                .filter(status -> status.state() == FrontendStatus.State.FAILED)
                .map(FrontendStatus::address)
                .collect(Collectors.toSet());
    }

    @Override
    public Set<IpAddress> nodeAddresses() {
        return nodeAddresses.get();
    }

    @Override
    public void answered(ServicePortName name, Endpoint endpoint) {
        direct.answered(name, endpoint);
    }

    @Override
    public void refused(ServicePortName name, Endpoint endpoint) {
        direct.refused(name, endpoint);
    }

    @Override
    public void silent(ServicePortName name, Endpoint endpoint) {
        direct.silent(name, endpoint);
    }

    @Override
    public void check(ServicePortName name, Endpoint endpoint) {
        direct.check(name, endpoint);
    }

    @Override
    public void tryEjected(ServicePortName name) {
        direct.tryEjected(name);
    }

    @Override
    public void count(ServicePortName name, Endpoint endpoint, Traffic traffic) {
        direct.count(name, endpoint, traffic.opened(), traffic.change(), traffic.refused(), traffic.silent());
    }
}
