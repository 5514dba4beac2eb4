package io.sluice.forward;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.ServicePortName;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * An open TCP connection at one moment.
 *
 * @param endpoint the endpoint that accepted the connection or is being tried; null if there is none
 */
public record ConnectionStatus(
        ServicePortName service,
        FrontendAddress frontend,
        IpAddress client,
        int clientPort,
        @Nullable Endpoint endpoint,
        State state,
        long ageNanos,
        long bytesToEndpoint,
        long bytesToClient) {

    /** What a connection is doing. */
    public enum State {
        /** The PROXY protocol header of the peer has not arrived yet. */
        AWAITING_HEADER,
        /** The connection waits for an endpoint, because the Service has none. */
        HOLDING,
        /** No endpoint has accepted the connection yet. */
        CONNECTING,
        /** Bytes are forwarded both ways. */
        OPEN,
        /** One side has sent FIN. */
        HALF_CLOSED,
        /** One side has failed, and the last bytes are being delivered to the other. */
        CLOSING;

        /** The name in the admin API and in tables, such as {@code half-closed}. */
        public String text() {
            return name().toLowerCase(Locale.ROOT).replace('_', '-');
        }
    }
}
