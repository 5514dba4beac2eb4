package io.sluice.node;

import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import java.io.IOException;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * Tracks service ports whose rules the kernel rejects: reasons, retries, notifications. Guarded by the owner's lock.
 */
final class RejectedServicePorts {
    /** Delay before the first retry. It doubles with each retry, like the delay for retrying listeners. */
    private static final long FIRST_RETRY_NANOS = TimeUnit.SECONDS.toNanos(5);

    private static final long LONGEST_RETRY_NANOS = TimeUnit.SECONDS.toNanos(30);

    private record Rejection(ServicePort port, String reason) {}

    private final Consumer<Map<FrontendAddress, String>> onChange;
    private final Map<ServicePortName, Rejection> rejected = new LinkedHashMap<>();
    private Map<FrontendAddress, String> published = Map.of();
    private long retryDelayNanos = FIRST_RETRY_NANOS;
    private long retryAtNanos;

    RejectedServicePorts(Consumer<Map<FrontendAddress, String>> onChange) {
        this.onChange = onChange;
    }

    boolean isEmpty() {
        return rejected.isEmpty();
    }

    boolean contains(ServicePort port) {
        return rejected.containsKey(port.name());
    }

    /** Loads the rules of service ports in one transaction, or throws if the kernel rejects them. */
    interface Loader {
        void load(List<ServicePort> ports) throws IOException;
    }

    /** Loads service ports. Bisects a list that the kernel rejects, so that only invalid service ports are left out. */
    void load(List<ServicePort> ports, Loader loader) {
        if (ports.isEmpty()) {
            return;
        }
        try {
            loader.load(ports);
        } catch (IOException e) {
            if (ports.size() == 1) {
                add(ports.get(0), e);
                return;
            }
            int half = ports.size() / 2;
            load(ports.subList(0, half), loader);
            load(ports.subList(half, ports.size()), loader);
        }
    }

    private void add(ServicePort port, Exception cause) {
        rejected.put(port.name(), new Rejection(port, String.valueOf(cause.getMessage())));
    }

    void removeAll(Collection<ServicePort> ports) {
        ports.forEach(port -> rejected.remove(port.name()));
    }

    /** Removes all rejections before the rules of all service ports are added again. */
    void clear(long nowNanos) {
        rejected.clear();
        retryLater(FIRST_RETRY_NANOS, nowNanos);
    }

    /** Removes and returns the service ports to retry now; empty if no retry is due. */
    List<ServicePort> takeDue(long nowNanos) {
        if (rejected.isEmpty() || nowNanos - retryAtNanos < 0) {
            return List.of();
        }
        List<ServicePort> due = rejected.values().stream().map(Rejection::port).toList();
        rejected.clear();
        retryLater(Math.min(LONGEST_RETRY_NANOS, 2 * retryDelayNanos), nowNanos);
        return due;
    }

    private void retryLater(long delayNanos, long nowNanos) {
        retryDelayNanos = delayNanos;
        retryAtNanos = nowNanos + delayNanos;
    }

    /** Publishes the addresses whose rules the kernel rejects, if they have changed. */
    void publish() {
        Map<FrontendAddress, String> now = new HashMap<>();
        rejected.values().forEach(each -> put(each.port(), each.reason(), now));
        publish(now);
    }

    /** Publishes the rejected addresses together with those of a change that the kernel rejected as a whole. */
    void publishWith(Collection<ServicePort> changed, Exception cause) {
        Map<FrontendAddress, String> now = new HashMap<>(published);
        changed.forEach(port -> put(port, String.valueOf(cause.getMessage()), now));
        publish(now);
    }

    private static void put(ServicePort port, String reason, Map<FrontendAddress, String> into) {
        for (Frontend frontend : port.frontends()) {
            into.put(frontend.address(), "the kernel rejects its rules: " + reason);
        }
    }

    private void publish(Map<FrontendAddress, String> now) {
        if (!now.equals(published)) {
            published = Map.copyOf(now);
            onChange.accept(published);
        }
    }
}
