package io.sluice.forward;

import io.sluice.balance.FrontendRouting;
import io.sluice.model.FrontendAddress;
import java.util.function.Consumer;

/** What the listeners of one frontend, and their connections and flows, know of it. Any loop. */
final class FrontendRoutes {
    final FrontendAddress address;

    /** In force now; replaced as a whole on the control side. */
    volatile FrontendRouting routing;

    private final Consumer<BrokenListener> onBroken;

    /** A listener that has stopped by itself. */
    record BrokenListener(FrontendAddress address, Listener listener, Throwable cause) {}

    /** @param onBroken called by the loop of such a listener */
    FrontendRoutes(FrontendAddress address, FrontendRouting routing, Consumer<BrokenListener> onBroken) {
        this.address = address;
        this.routing = routing;
        this.onBroken = onBroken;
    }

    /** Called by the listener's loop. */
    void broke(Listener listener, Throwable cause) {
        onBroken.accept(new BrokenListener(address, listener, cause));
    }
}
