package io.sluice.stats;

/** What is timed, in microseconds, once per TCP connection. */
public enum Timing {
    CONNECT("from the accepted client connection to an established endpoint connection, failed attempts included"),
    FIRST_BYTE("from the accepted client connection to the endpoint's first byte"),
    SESSION("from the accepted client connection to its end");

    private final String text;

    Timing(String text) {
        this.text = text;
    }

    /** What is timed, in words. */
    public String text() {
        return text;
    }
}
