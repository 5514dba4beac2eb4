package io.sluice.socketlb;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import java.util.Set;

/** A forwarder that uses all endpoints and records nothing. */
final class UnusedForwarder implements ForwarderView {
    @Override
    public Set<Endpoint> outOfUse(ServicePortName name) {
        return Set.of();
    }

    @Override
    public Set<FrontendAddress> failed(ServicePort servicePort) {
        return Set.of();
    }

    @Override
    public Set<IpAddress> nodeAddresses() {
        return Set.of();
    }

    @Override
    public void answered(ServicePortName name, Endpoint endpoint) {}

    @Override
    public void refused(ServicePortName name, Endpoint endpoint) {}

    @Override
    public void silent(ServicePortName name, Endpoint endpoint) {}

    @Override
    public void check(ServicePortName name, Endpoint endpoint) {}

    @Override
    public void tryEjected(ServicePortName name) {}

    @Override
    public void count(ServicePortName name, Endpoint endpoint, Traffic traffic) {}
}
