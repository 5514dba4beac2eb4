package io.sluice.node;

/**
 * What of the machine the rules take for themselves.
 *
 * @param markBit the only bit of the packet mark that is touched, 0 to 31
 * @param routingTable that delivers marked packets here
 * @param rulePriority of the routing rule that leads there
 * @param keepOnExit whether to leave rules behind that refuse what was served
 */
public record RuleOptions(int markBit, int routingTable, int rulePriority, boolean keepOnExit) {
    /** Values that no well-known network plugin uses. */
    public static final RuleOptions DEFAULT = new RuleOptions(19, 19_019, 119, false);

    String mark() {
        return "0x" + Integer.toHexString(1 << markBit);
    }
}
