package io.sluice.forward;

import io.sluice.balance.EndpointChange;
import io.sluice.model.Endpoint;
import io.sluice.model.ServicePortName;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * What a {@link Forwarder} reports. Callbacks run on the thread that caused the change, which may be an event loop, so
 * they must not block.
 *
 * @param onFrontend called for every change of a frontend's state
 * @param onEndpoint called for every change of the state of an endpoint's health
 * @param onPutBack called with a Service ({@code namespace/name}) and an endpoint when the time has passed for which an
 *     operator had taken the endpoint out
 * @param onReroute called when an operator has changed which endpoints of a service port are used
 * @param onEnd called for every finished connection and flow; null if they are not needed
 */
public record ForwarderCallbacks(
        Consumer<FrontendStatus> onFrontend,
        Consumer<EndpointChange> onEndpoint,
        BiConsumer<String, Endpoint> onPutBack,
        Consumer<ServicePortName> onReroute,
        @Nullable Consumer<EndedConnection> onEnd) {
    /** Returns callbacks that also report each service port whose frontends or endpoints in use may have changed. */
    public ForwarderCallbacks withServiceChanges(Consumer<ServicePortName> onChange) {
        return new ForwarderCallbacks(
                onFrontend.andThen(status -> onChange.accept(status.service())),
                onEndpoint.andThen(change -> onChange.accept(change.service())),
                onPutBack,
                onReroute.andThen(onChange),
                onEnd);
    }

    /** Creates callbacks that report only frontends. */
    public static ForwarderCallbacks of(Consumer<FrontendStatus> onFrontend) {
        return new ForwarderCallbacks(onFrontend, change -> {}, (service, endpoint) -> {}, name -> {}, null);
    }
}
