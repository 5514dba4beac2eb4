package io.sluice.stats;

/** A latency, recorded at most once per TCP connection. {@link #text} is part of the help text of its metrics. */
public enum Timing {
    CONNECT("from accepting the client connection to establishing the endpoint connection, including failed attempts"),
    FIRST_BYTE("from accepting the client connection to the first byte from the endpoint"),
    SESSION("from accepting the client connection to its end");

    private final String text;

    Timing(String text) {
        this.text = text;
    }

    /** The measured interval, worded to follow "Seconds" in the help text. */
    public String text() {
        return text;
    }
}
