package io.sluice.model;

import java.util.Locale;

/** A transport protocol that Sluice forwards. SCTP is not forwarded; the parser of the Service reports it. */
public enum Protocol {
    TCP,
    UDP;

    private final String text = name().toLowerCase(Locale.ROOT);

    /** The name in lower case, as it follows an address in {@code 10.96.0.1:443/tcp}. */
    public String text() {
        return text;
    }
}
