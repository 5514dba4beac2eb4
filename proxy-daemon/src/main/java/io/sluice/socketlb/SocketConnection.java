package io.sluice.socketlb;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.ServicePortName;
import io.sluice.socketlb.MapFormat.Pair;
import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * An open connection whose endpoint was chosen at the socket.
 *
 * @param service the service port; null if it no longer has the frontend
 * @param client address of the client, as the endpoint sees it
 * @param number a number that increases with each socket
 * @param sinceNanos time at which the connection was established, on the clock of {@link System#nanoTime}
 */
public record SocketConnection(
        @Nullable ServicePortName service,
        FrontendAddress frontend,
        Endpoint endpoint,
        IpAddress client,
        int clientPort,
        long number,
        long sinceNanos) {
    private static final int CLIENT = 2 * MapFormat.ADDRESS;
    private static final int SINCE = 64;

    /**
     * @param cookie number of the socket
     * @param value a {@code struct connection}
     */
    static SocketConnection of(byte[] cookie, ByteBuffer value, @Nullable ServicePortName service) {
        Pair pair = Pair.of(value, 0);
        return new SocketConnection(
                service,
                pair.frontend(),
                pair.endpoint(),
                MapFormat.ipAt(value, CLIENT),
                MapFormat.portAt(value, CLIENT),
                ByteBuffer.wrap(cookie).order(value.order()).getLong(0),
                value.getLong(SINCE));
    }
}
