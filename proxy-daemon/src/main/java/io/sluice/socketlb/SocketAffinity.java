package io.sluice.socketlb;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.ServicePortName;
import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * A session affinity entry of the programs. The client is a network namespace, which is a pod or the node.
 *
 * @param service the service port; null if it is not known
 * @param namespaceCookie number of the client's network namespace
 * @param client address of the client in its last connection; null if none was established
 * @param idleNanos the time since the last new connection of the client
 */
public record SocketAffinity(
        @Nullable ServicePortName service,
        FrontendAddress frontend,
        long namespaceCookie,
        @Nullable IpAddress client,
        Endpoint endpoint,
        long idleNanos) {
    private static final int CLIENT = Long.BYTES + MapFormat.ADDRESS;

    /**
     * @param key a {@code struct affinity_key}
     * @param value a {@code struct affinity_entry}
     */
    static SocketAffinity of(ByteBuffer key, ByteBuffer value, long nowNanos) {
        IpAddress client = MapFormat.ipAt(value, CLIENT);
        return new SocketAffinity(
                null,
                MapFormat.frontendAt(key, Long.BYTES),
                key.getLong(0),
                client.isUnspecified() ? null : client,
                MapFormat.entryEndpoint(value),
                nowNanos - value.getLong(0));
    }

    SocketAffinity of(ServicePortName owner) {
        return new SocketAffinity(owner, frontend, namespaceCookie, client, endpoint, idleNanos);
    }
}
