package io.sluice.compare;

import java.util.List;

/** Who takes part, and who is compared with whom. */
enum Contestant {
    DIRECT("direct", "routed, nothing between"),
    NFT("nft", "nftables DNAT, what kube-proxy's kernel modes do with each packet"),
    HAPROXY("haproxy", "mode tcp"),
    HAPROXY_CLIENT("haproxy-usesrc", "mode tcp, the backend sees the client's address"),
    NGINX("nginx", "stream, TCP and UDP"),
    BIND("sluice-bind", "sluice run --mode bind"),
    NODE("sluice-node", "sluice run --mode node, the backend sees the client's address");

    final String label;
    final String what;

    Contestant(String label, String what) {
        this.label = label;
        this.what = what;
    }

    boolean isSluice() {
        return this == BIND || this == NODE;
    }

    boolean isProcess() {
        return this != DIRECT && this != NFT;
    }

    boolean hasUdp() {
        return this != HAPROXY && this != HAPROXY_CLIENT;
    }

    /** Whom this one is measured against. What keeps the client's address has to do more, so it has a peer that does too. */
    List<Contestant> peers() {
        return switch (this) {
            case BIND -> List.of(DIRECT, NFT, HAPROXY, NGINX);
            case NODE -> List.of(DIRECT, NFT, HAPROXY_CLIENT, HAPROXY, NGINX);
            default -> List.of();
        };
    }

    static Contestant of(String label) {
        for (Contestant contestant : values()) {
            if (contestant.label.equals(label)) {
                return contestant;
            }
        }
        throw new IllegalArgumentException("no contestant is called " + label + "; see --help");
    }
}
