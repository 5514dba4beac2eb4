package io.sluice.balance;

import java.time.Instant;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * The health of an endpoint as observed in forwarded connections and flows, and in active health checks if its Service
 * asks for them.
 *
 * @param since the time of the last change of the state; {@link Instant#EPOCH} if it has never changed
 * @param lastError the last failure, such as {@code connection refused}; empty if there was none
 * @param lastErrorTime the time of the last failure; null if there was none
 * @param consecutiveFailures the number of failed attempts since the last success
 * @param ejectedUntil the time of the next trial connection; null if the endpoint is not ejected
 */
public record EndpointHealth(
        State state,
        Instant since,
        String lastError,
        @Nullable Instant lastErrorTime,
        int consecutiveFailures,
        @Nullable Instant ejectedUntil) {
    /** The health of an endpoint to which no connection has been attempted. */
    static final EndpointHealth NEVER_TRIED = new EndpointHealth(State.UNKNOWN, Instant.EPOCH, "", null, 0, null);

    /** Returns the health after a successful attempt. */
    EndpointHealth afterSuccess(Instant now) {
        return new EndpointHealth(State.UP, state == State.UP ? since : now, lastError, lastErrorTime, 0, null);
    }

    /** Returns the health of an endpoint that no longer reports errors, but has not answered either. */
    EndpointHealth withoutErrors(Instant now) {
        return new EndpointHealth(State.UNKNOWN, now, lastError, lastErrorTime, 0, null);
    }

    /** Returns the health after a failed attempt. */
    EndpointHealth afterFailure(State failing, String error, Instant now) {
        return new EndpointHealth(
                failing, state == failing ? since : now, error, now, consecutiveFailures + 1, ejectedUntil);
    }

    /** Returns the health of an endpoint that is ejected, or remains so. */
    EndpointHealth ejected(Instant now, Instant until) {
        Instant start = state == State.EJECTED ? since : now;
        return new EndpointHealth(State.EJECTED, start, lastError, lastErrorTime, consecutiveFailures, until);
    }

    /** Returns this health with another state than {@code EJECTED}. */
    EndpointHealth with(State other, Instant at) {
        return new EndpointHealth(other, at, lastError, lastErrorTime, consecutiveFailures, null);
    }

    /** Whether an endpoint gets new connections, and how the last ones ended. */
    public enum State {
        /**
         * No connection has been attempted. Also a UDP endpoint that has failed, but for which datagrams have since been
         * sent without an error: it may be one that never replies.
         */
        UNKNOWN,
        /** The last attempt succeeded or, for UDP, the endpoint has replied. */
        UP,
        /** The last attempt was refused, or the network reported an error. */
        REFUSING,
        /** The last attempt timed out. */
        SILENT,
        /** Passed over because of consecutive failures, except for a trial connection from time to time. */
        EJECTED,
        /** Gets no new connections: drained by an operator, or removed from the Service while connections are open. */
        DRAINING,
        /** Gets no new connections, and its connections were closed by an operator. */
        DISABLED;

        /** Whether the endpoint does not answer. */
        public boolean isFailing() {
            return this == REFUSING || this == SILENT || this == EJECTED;
        }

        /** The name in the admin API and in tables. */
        public String text() {
            return name().toLowerCase(Locale.ROOT);
        }
    }
}
