package io.sluice.node;

/**
 * What of the machine the rules take for themselves.
 *
 * @param markBit the only bit of the packet mark that is touched, 0 to 31
 * @param routingTable that delivers marked packets here
 * @param rulePriority of the routing rule that leads there
 * @param keepOnExit whether to leave rules behind that refuse what was served
 * @param udpUnrepliedSeconds how long the kernel knows a UDP flow without a reply, as long as the forwarder does
 * @param udpRepliedSeconds the same of one with a reply
 */
public record RuleOptions(
        int markBit,
        int routingTable,
        int rulePriority,
        boolean keepOnExit,
        long udpUnrepliedSeconds,
        long udpRepliedSeconds) {
    /**
     * A bit that is free beside those of kube-proxy (14, 15), the port mapping plugin (13), Calico and Tailscale (16 and
     * above), Cilium (8 to 11 and 16 and above) and Istio (below 12).
     */
    public static final RuleOptions DEFAULT = new RuleOptions(12, 19_019, 119, false, 30, 120);

    /** What packets are led by, as one word. */
    public String routing() {
        return mark() + "/" + routingTable + "/" + rulePriority;
    }

    /** All bits but ours. */
    String notMark() {
        return "0x" + Integer.toHexString(~(1 << markBit));
    }

    String mark() {
        return "0x" + Integer.toHexString(1 << markBit);
    }
}
