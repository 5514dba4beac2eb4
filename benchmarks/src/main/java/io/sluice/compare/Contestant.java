package io.sluice.compare;

import java.util.List;
import java.util.stream.Stream;

/** The proxies to compare, and which of them each Sluice contestant is compared with. */
enum Contestant {
    DIRECT("direct", "routed, without a proxy"),
    NFT("nft", "nftables DNAT, as kube-proxy's iptables and nftables modes do"),
    HAPROXY("haproxy", "mode tcp"),
    HAPROXY_CLIENT("haproxy-usesrc", "mode tcp, the endpoint sees the client's address"),
    NGINX("nginx", "stream, TCP and UDP"),
    BASELINE_BIND("baseline-bind", "sluice run --mode bind of the --baseline distribution"),
    BASELINE_NODE("baseline-node", "sluice run --mode node of the --baseline distribution"),
    BIND("sluice-bind", "sluice run --mode bind"),
    NODE("sluice-node", "sluice run --mode node, the endpoint sees the client's address"),
    SOCKET("sluice-socketlb", "sluice run --mode node --socket-lb required, which runs only while it is measured");

    final String label;
    final String description;

    Contestant(String label, String description) {
        this.label = label;
        this.description = description;
    }

    boolean isSluice() {
        return this == BIND || this == NODE || this == SOCKET || isBaseline();
    }

    /** Whether this contestant runs the distribution of {@code --baseline} instead of the built one. */
    boolean isBaseline() {
        return this == BASELINE_BIND || this == BASELINE_NODE;
    }

    /** Whether a JVM handles the traffic, which compiles its code while it does. */
    boolean needsWarmUp() {
        return isSluice() && this != SOCKET;
    }

    boolean isNodeMode() {
        return this == NODE || this == BASELINE_NODE || this == SOCKET;
    }

    /** Whether a process of this contestant accepts the connections. */
    boolean isProxy() {
        return this != DIRECT && this != NFT && this != SOCKET;
    }

    boolean hasUdp() {
        return this != HAPROXY && this != HAPROXY_CLIENT && this != SOCKET;
    }

    /**
     * The contestants that this one is compared with. Preserving the client's address costs more, so node mode has a
     * peer that also does.
     */
    List<Contestant> peers() {
        return switch (this) {
            case BIND -> List.of(DIRECT, NFT, HAPROXY, NGINX, BASELINE_BIND);
            case NODE -> List.of(DIRECT, NFT, HAPROXY_CLIENT, HAPROXY, NGINX, BASELINE_NODE);
            case SOCKET -> List.of(DIRECT, NFT, NODE, HAPROXY, NGINX);
            default -> List.of();
        };
    }

    /**
     * Returns the contestants with these labels. Without labels, returns all, with the baselines only if there is a
     * baseline.
     */
    static List<Contestant> select(List<String> labels, boolean hasBaseline) {
        if (labels.isEmpty()) {
            return Stream.of(values())
                    .filter(each -> hasBaseline || !each.isBaseline())
                    .toList();
        }
        List<Contestant> selected = labels.stream().map(Contestant::of).toList();
        boolean usesBaseline = selected.stream().anyMatch(Contestant::isBaseline);
        if (usesBaseline && !hasBaseline) {
            throw new IllegalArgumentException("contestants baseline-bind and baseline-node need --baseline");
        }
        if (hasBaseline && !usesBaseline) {
            throw new IllegalArgumentException("--baseline needs baseline-bind or baseline-node in --contestants");
        }
        return selected;
    }

    static Contestant of(String label) {
        for (Contestant contestant : values()) {
            if (contestant.label.equals(label)) {
                return contestant;
            }
        }
        throw new IllegalArgumentException("unknown contestant '" + label + "'; see --help");
    }
}
