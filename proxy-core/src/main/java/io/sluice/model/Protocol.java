package io.sluice.model;

import java.util.Locale;

/** The transport protocols that are forwarded. SCTP is not among them: it is reported where it is read. */
public enum Protocol {
    TCP,
    UDP;

    private final String text = name().toLowerCase(Locale.ROOT);

    /** Lower case, as it is written behind an address: {@code 10.96.0.1:443/tcp}. */
    public String text() {
        return text;
    }
}
