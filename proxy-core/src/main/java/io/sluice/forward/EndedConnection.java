package io.sluice.forward;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.ServicePortName;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * A finished TCP connection or UDP flow, for the connection log.
 *
 * @param endpoint the last endpoint that was tried; null if none was
 * @param connectNanos time from accepting the client until the endpoint accepted; negative if none did, and for UDP
 * @param tries number of connection attempts
 */
public record EndedConnection(
        ServicePortName service,
        FrontendAddress frontend,
        IpAddress client,
        int clientPort,
        @Nullable Endpoint endpoint,
        long bytesToEndpoint,
        long bytesToClient,
        long durationNanos,
        long connectNanos,
        int tries,
        End end) {
    /** A connection that was reset at once, because the client holds its share. */
    static EndedConnection limited(
            ServicePortName service, FrontendAddress frontend, IpAddress client, int clientPort) {
        return new EndedConnection(service, frontend, client, clientPort, null, 0, 0, 0, -1, 0, End.LIMIT);
    }

    /** Why a connection or flow ended. */
    public enum End {
        /** Both sides sent FIN, the client first. */
        CLIENT_CLOSED,
        /** Both sides sent FIN, the endpoint first. */
        ENDPOINT_CLOSED,
        /** The client reset the connection. */
        CLIENT_RESET,
        /** The endpoint reset the connection, or reported an ICMP error for a flow. */
        ENDPOINT_RESET,
        /** The client stopped acknowledging data or keep-alive probes. */
        CLIENT_LOST,
        /** The endpoint stopped acknowledging data or keep-alive probes. */
        ENDPOINT_LOST,
        /** No endpoint accepted the connection. */
        CONNECT_FAILED,
        /** There was no endpoint, or the client is not allowed. */
        REFUSED,
        /** Idle timeout of a flow. */
        IDLE,
        /** Half-closed timeout. */
        HALF_CLOSED_TIMEOUT,
        /** A limit per client was reached, or a flow was evicted to make room. */
        LIMIT,
        /** The endpoint was removed from the Service or disabled. */
        REMOVED,
        /** The maximum age was reached. */
        AGE,
        /** Descriptors, ports or memory ran out. */
        OVERLOAD,
        /** Sluice stopped. */
        SHUTDOWN,
        /** Handed over to another process. */
        MOVED,
        /** Internal error. */
        ERROR;

        /** The value in the connection log, such as {@code half-closed-timeout}. */
        public String text() {
            return name().toLowerCase(Locale.ROOT).replace('_', '-');
        }
    }
}
