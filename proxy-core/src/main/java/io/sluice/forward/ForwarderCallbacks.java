package io.sluice.forward;

import io.sluice.balance.EndpointChange;
import io.sluice.model.Endpoint;
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
 * @param onEnd called for every finished connection and flow; null if they are not needed
 */
public record ForwarderCallbacks(
        Consumer<FrontendStatus> onFrontend,
        Consumer<EndpointChange> onEndpoint,
        BiConsumer<String, Endpoint> onPutBack,
        @Nullable Consumer<EndedConnection> onEnd) {
    /** Creates callbacks that report only frontends. */
    public static ForwarderCallbacks of(Consumer<FrontendStatus> onFrontend) {
        return new ForwarderCallbacks(onFrontend, change -> {}, (service, endpoint) -> {}, null);
    }
}
