package io.sluice.node;

/**
 * Options of the rules, such as the mark bit and the routing table that they use.
 *
 * @param markBit the only bit of the packet mark that the rules change, 0 to 31
 * @param routingTable number of the routing table that delivers marked packets to this node
 * @param rulePriority priority of the routing rule that looks up that table
 * @param keepOnExit whether to leave the rules in place on exit; they then reject connections to Services
 * @param udpUnrepliedSeconds timeout of UDP flows without a reply, the same as the forwarder's
 * @param udpRepliedSeconds timeout of UDP flows with a reply
 */
public record RuleOptions(
        int markBit,
        int routingTable,
        int rulePriority,
        boolean keepOnExit,
        long udpUnrepliedSeconds,
        long udpRepliedSeconds) {
    /**
     * The defaults. Mark bit 12 is not used by kube-proxy (14, 15), the CNI portmap plugin (13), Calico and Tailscale
     * (16 and above), Cilium (8 to 11, 16 and above) and Istio (below 12).
     */
    public static final RuleOptions DEFAULT = new RuleOptions(12, 19_019, 119, false, 30, 120);

    /** Returns mark, routing table and rule priority in one string, so that two processes can compare them. */
    public String routing() {
        return mark() + "/" + routingTable + "/" + rulePriority;
    }

    /** Returns the mask of all bits except the mark bit. */
    String notMark() {
        return "0x" + Integer.toHexString(~(1 << markBit));
    }

    String mark() {
        return "0x" + Integer.toHexString(1 << markBit);
    }
}
