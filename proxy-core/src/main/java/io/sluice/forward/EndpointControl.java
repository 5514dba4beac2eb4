package io.sluice.forward;

import io.sluice.balance.EndpointHealth.State;
import io.sluice.balance.EndpointStatus;
import io.sluice.balance.OutOfUse;
import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.Origin;
import io.sluice.model.ServicePort;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** Takes endpoints out of use and puts them back, as operators ask. Used under the forwarder's lock. */
public final class EndpointControl {
    /** Result of a request to change an endpoint. */
    public enum Outcome {
        /** The endpoint has the requested state. */
        DONE,
        /** The Service does not exist or does not have this endpoint. */
        NO_SUCH_ENDPOINT,
        /** Nothing was changed, because no endpoint that answers would be left. */
        LAST_USABLE,
        /** Nothing was changed, because a handover is in progress or the process no longer serves. */
        NOT_NOW
    }

    private final FrontendTable table;
    private final BiConsumer<String, Endpoint> onPutBack;

    EndpointControl(FrontendTable table, BiConsumer<String, Endpoint> onPutBack) {
        this.table = table;
        this.onPutBack = onPutBack;
    }

    /**
     * Takes an endpoint out of use.
     *
     * @param service the Service, as {@code namespace/name}
     * @param state {@code DRAINING} or {@code DISABLED}
     * @param duration time after which the endpoint is put back; null for no limit
     * @param force whether to take out even the last endpoint that answers
     */
    Outcome takeOut(
            String service, Endpoint endpoint, State state, @Nullable Duration duration, boolean force, long nowNanos) {
        List<ServicePort> ports = table.servicePorts(service).stream()
                .filter(port -> port.endpoints().contains(endpoint))
                .toList();
        if (ports.isEmpty()) {
            return Outcome.NO_SUCH_ENDPOINT;
        }
        if (!force && ports.stream().anyMatch(port -> isLastUsable(port, endpoint))) {
            return Outcome.LAST_USABLE;
        }
        table.takenOut.put(service, endpoint, state, duration, nowNanos);
        ports.forEach(table::reroute);
        return Outcome.DONE;
    }

    /** Puts an endpoint back into use; also succeeds if it is in use. */
    Outcome putBack(String service, Endpoint endpoint) {
        List<ServicePort> ports = table.servicePorts(service);
        boolean wasOut = table.takenOut.remove(service, endpoint);
        if (!wasOut && ports.stream().noneMatch(port -> port.endpoints().contains(endpoint))) {
            return Outcome.NO_SUCH_ENDPOINT;
        }
        ports.forEach(table::reroute);
        return Outcome.DONE;
    }

    /** Puts the endpoints back whose time has expired. */
    void expire(long nowNanos) {
        table.takenOut.expire(nowNanos).forEach((service, endpoints) -> {
            table.servicePorts(service).forEach(table::reroute);
            endpoints.forEach(endpoint -> onPutBack.accept(service, endpoint));
        });
    }

    /**
     * Whether a route of the service port would have no endpoint left, or none that answers although this one does. An
     * endpoint to which no connection was attempted counts as answering.
     */
    private boolean isLastUsable(ServicePort port, Endpoint endpoint) {
        Map<Endpoint, OutOfUse> takenOut = table.takenOut.of(port.name());
        Set<Endpoint> failing = table.endpoints(port.name()).stream()
                .filter(status -> status.health().state().isFailing())
                .map(EndpointStatus::endpoint)
                .collect(Collectors.toSet());
        Predicate<Endpoint> others = other -> !other.equals(endpoint) && !takenOut.containsKey(other);
        for (List<Endpoint> route : routes(port)) {
            boolean noneLeft = route.stream().noneMatch(others);
            boolean noneAnswers = route.stream().noneMatch(others.and(other -> !failing.contains(other)));
            if (route.contains(endpoint) && (noneLeft || (noneAnswers && !failing.contains(endpoint)))) {
                return true;
            }
        }
        return false;
    }

    private static Set<List<Endpoint>> routes(ServicePort port) {
        Set<List<Endpoint>> routes = new HashSet<>();
        for (Frontend frontend : port.frontends()) {
            for (Origin origin : Origin.values()) {
                routes.add(frontend.route(origin).endpoints());
            }
        }
        return routes;
    }
}
