package io.sluice.forward;

import io.sluice.model.Endpoint;
import java.net.InetSocketAddress;
import org.jspecify.annotations.Nullable;

/** An endpoint as the sockets want it. */
final class Target {
    final Endpoint endpoint;

    // Made at first use: a quarter of a million endpoints are listed, few are dialled. A race makes it twice, equal.
    private @Nullable InetSocketAddress socketAddress;

    Target(Endpoint endpoint) {
        this.endpoint = endpoint;
    }

    InetSocketAddress socketAddress() {
        InetSocketAddress address = socketAddress;
        if (address == null) {
            address = endpoint.address().toSocketAddress(endpoint.port());
            socketAddress = address;
        }
        return address;
    }

    @Override
    public String toString() {
        return endpoint.toString();
    }
}
