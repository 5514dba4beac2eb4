package io.sluice.model;

import java.util.Locale;

/**
 * A transport protocol that Sluice forwards. SCTP is not forwarded; a Service port that uses it is reported when the
 * Service is parsed.
 */
public enum Protocol {
    TCP,
    UDP;

    private final String text = name().toLowerCase(Locale.ROOT);

    /** The name in lower case, as in {@code 10.96.0.1:443/tcp}. */
    public String text() {
        return text;
    }
}
