package io.sluice.socketlb;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;

/** Records what the programs have observed. */
final class FakeForwarder implements ForwarderView {
    final Set<Endpoint> outOfUse = ConcurrentHashMap.newKeySet();
    volatile Set<IpAddress> nodeAddresses = Set.of();
    final List<String> outcomes = new CopyOnWriteArrayList<>();
    final List<ServicePortName> tried = new CopyOnWriteArrayList<>();
    private final Map<String, Traffic> traffic = new ConcurrentHashMap<>();

    Traffic traffic(ServicePortName name, Endpoint endpoint) {
        return traffic.getOrDefault(name + " " + endpoint, new Traffic(0, 0, 0, 0));
    }

    @Override
    public Set<Endpoint> outOfUse(ServicePortName name) {
        return Set.copyOf(outOfUse);
    }

    @Override
    public Set<FrontendAddress> failed(ServicePort servicePort) {
        return Set.of();
    }

    @Override
    public Set<IpAddress> nodeAddresses() {
        return nodeAddresses;
    }

    @Override
    public void answered(ServicePortName name, Endpoint endpoint) {
        outcomes.add("answered " + endpoint);
    }

    @Override
    public void refused(ServicePortName name, Endpoint endpoint) {
        outcomes.add("refused " + endpoint);
    }

    @Override
    public void silent(ServicePortName name, Endpoint endpoint) {
        outcomes.add("silent " + endpoint);
    }

    @Override
    public void check(ServicePortName name, Endpoint endpoint) {
        outcomes.add("check " + endpoint);
    }

    @Override
    public void tryEjected(ServicePortName name) {
        tried.add(name);
    }

    @Override
    public void count(ServicePortName name, Endpoint endpoint, Traffic more) {
        traffic.merge(
                name + " " + endpoint,
                more,
                (a, b) -> new Traffic(
                        a.opened() + b.opened(),
                        a.change() + b.change(),
                        a.refused() + b.refused(),
                        a.silent() + b.silent()));
    }
}
