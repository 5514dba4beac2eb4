package io.sluice.model;

/** The two kinds of IP address. */
public enum Family {
    IPV4(32, "IPv4"),
    IPV6(128, "IPv6");

    private final int bits;
    private final String text;

    Family(int bits, String text) {
        this.bits = bits;
        this.text = text;
    }

    /** Length of its addresses: 32 or 128. */
    public int bits() {
        return bits;
    }

    /** As Kubernetes writes it. */
    @Override
    public String toString() {
        return text;
    }
}
