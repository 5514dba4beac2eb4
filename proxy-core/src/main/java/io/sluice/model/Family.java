package io.sluice.model;

/** An IP address family. */
public enum Family {
    IPV4(32, "IPv4"),
    IPV6(128, "IPv6");

    private final int bits;
    private final String text;

    Family(int bits, String text) {
        this.bits = bits;
        this.text = text;
    }

    /** The length of an address in bits: 32 or 128. */
    public int bits() {
        return bits;
    }

    /** The name as Kubernetes spells it: {@code IPv4} or {@code IPv6}. */
    @Override
    public String toString() {
        return text;
    }
}
