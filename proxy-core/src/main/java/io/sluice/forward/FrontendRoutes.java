package io.sluice.forward;

import io.sluice.balance.FrontendRouting;
import io.sluice.model.FrontendAddress;
import java.util.function.Consumer;

/** Address and active routing of one frontend, shared by its listeners, connections and flows. Thread-safe. */
final class FrontendRoutes {
    final FrontendAddress address;

    /** The active routing. Immutable; replaced as a whole under the forwarder's lock. */
    volatile FrontendRouting routing;

    private final Consumer<FailedListener> onListenerFailure;

    /** A listener whose socket failed after it had been opened. */
    record FailedListener(FrontendAddress address, Listener listener, Throwable cause) {}

    /** @param onListenerFailure callback for a listener that failed, called on its loop */
    FrontendRoutes(FrontendAddress address, FrontendRouting routing, Consumer<FailedListener> onListenerFailure) {
        this.address = address;
        this.routing = routing;
        this.onListenerFailure = onListenerFailure;
    }

    /** Reports a listener that failed, so that the frontend is retried. Called on the listener's loop. */
    void listenerFailed(Listener listener, Throwable cause) {
        onListenerFailure.accept(new FailedListener(address, listener, cause));
    }
}
