package io.sluice.forward;

import io.sluice.balance.EndpointTarget;
import io.sluice.balance.ServiceState;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.TrafficPolicy;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Actively checks the endpoints of the TCP service ports whose traffic policy has a health check interval. A check is a
 * connection that is reset as soon as it is established. Its result changes the health of the endpoint like that of a
 * client's connection. Used under the forwarder's lock; the loops run the checks, see {@link LoopHealthChecks}.
 */
final class HealthChecker {
    private final List<LoopHealthChecks> loops = new ArrayList<>();
    private final long defaultTimeoutNanos;
    private final Map<ServicePortName, ServiceChecks> services = new HashMap<>();
    private int nextLoop;
    private boolean closed;

    /** The checks of the endpoints of one service port. */
    private static final class ServiceChecks {
        final long intervalNanos;
        final long timeoutNanos;
        final Map<EndpointTarget, LoopHealthChecks.Check> checks = new HashMap<>();

        ServiceChecks(long intervalNanos, long timeoutNanos) {
            this.intervalNanos = intervalNanos;
            this.timeoutNanos = timeoutNanos;
        }
    }

    HealthChecker(List<Loop> loops, ForwarderConfig config) {
        loops.forEach(loop -> this.loops.add(new LoopHealthChecks(loop)));
        defaultTimeoutNanos = config.connectTimeout().toNanos();
    }

    /** Starts and stops checks for a new version of a service port, which its state already has. */
    void update(ServicePort servicePort, ServiceState state) {
        TrafficPolicy policy = servicePort.policy();
        long timeoutNanos = timeoutNanos(policy);
        long intervalNanos = policy.balancing().healthCheckIntervalNanos();
        if (closed || intervalNanos == 0 || servicePort.name().protocol() != Protocol.TCP) {
            remove(servicePort.name());
            return;
        }
        ServiceChecks service = services.get(servicePort.name());
        if (service == null || service.intervalNanos != intervalNanos || service.timeoutNanos != timeoutNanos) {
            remove(servicePort.name());
            service = new ServiceChecks(intervalNanos, timeoutNanos);
            services.put(servicePort.name(), service);
        }
        Set<EndpointTarget> inUse = state.targetsInUse();
        service.checks.entrySet().removeIf(entry -> {
            boolean removed = !inUse.contains(entry.getKey());
            if (removed) {
                entry.getValue().cancel();
            }
            return removed;
        });
        for (EndpointTarget target : inUse) {
            if (!service.checks.containsKey(target)) {
                LoopHealthChecks loop = loops.get(nextLoop++ % loops.size());
                service.checks.put(target, loop.start(target, intervalNanos, timeoutNanos));
            }
        }
    }

    private long timeoutNanos(TrafficPolicy policy) {
        long nanos = policy.timeouts().connectNanos();
        return nanos > 0 ? nanos : defaultTimeoutNanos;
    }

    /** Checks each ejected endpoint of a service port whose trial is due. */
    void tryEjected(ServiceState state) {
        for (EndpointTarget target : state.targetsInUse()) {
            if (target.isEjected()) {
                checkOnce(state, target);
            }
        }
    }

    /** Checks an endpoint once, unless it is ejected and its trial is not due. */
    void checkOnce(ServiceState state, EndpointTarget target) {
        if (!closed) {
            loops.get(nextLoop++ % loops.size()).checkOnce(target, timeoutNanos(state.policy()));
        }
    }

    /** Stops the checks of a service port. */
    void remove(ServicePortName name) {
        ServiceChecks service = services.remove(name);
        if (service != null) {
            service.checks.values().forEach(LoopHealthChecks.Check::cancel);
        }
    }

    /** Stops all checks; later updates start none. */
    void close() {
        closed = true;
        List.copyOf(services.keySet()).forEach(this::remove);
    }
}
