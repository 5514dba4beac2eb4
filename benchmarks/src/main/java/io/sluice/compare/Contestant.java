package io.sluice.compare;

import java.util.List;
import java.util.stream.Stream;

/** Who takes part, and who is compared with whom. */
enum Contestant {
    DIRECT("direct", "routed, nothing between"),
    NFT("nft", "nftables DNAT, what kube-proxy's kernel modes do with each packet"),
    HAPROXY("haproxy", "mode tcp"),
    HAPROXY_CLIENT("haproxy-usesrc", "mode tcp, the backend sees the client's address"),
    NGINX("nginx", "stream, TCP and UDP"),
    BASELINE_BIND("baseline-bind", "sluice run --mode bind of the --baseline distribution"),
    BASELINE_NODE("baseline-node", "sluice run --mode node of the --baseline distribution"),
    BIND("sluice-bind", "sluice run --mode bind"),
    NODE("sluice-node", "sluice run --mode node, the backend sees the client's address");

    final String label;
    final String what;

    Contestant(String label, String what) {
        this.label = label;
        this.what = what;
    }

    boolean isSluice() {
        return this == BIND || this == NODE || isBaseline();
    }

    /** Whether it runs the distribution that {@code --baseline} names, not the built one. */
    boolean isBaseline() {
        return this == BASELINE_BIND || this == BASELINE_NODE;
    }

    boolean isNodeMode() {
        return this == NODE || this == BASELINE_NODE;
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
            case BIND -> List.of(DIRECT, NFT, HAPROXY, NGINX, BASELINE_BIND);
            case NODE -> List.of(DIRECT, NFT, HAPROXY_CLIENT, HAPROXY, NGINX, BASELINE_NODE);
            default -> List.of();
        };
    }

    /** The contestants with these labels; without labels all of them, baselines only if there is a baseline. */
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
        throw new IllegalArgumentException("no contestant is called " + label + "; see --help");
    }
}
