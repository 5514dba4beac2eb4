package io.sluice.node;

import io.sluice.socket.Sysctl;
import java.io.IOException;

/**
 * Features of the kernel that the table depends on.
 *
 * @param tproxy whether nft supports {@code tproxy}, which lets listeners use other ports than their frontends; its presence
 *     also makes the kernel reassemble fragments
 * @param findsMasqueraded whether {@code socket} finds the socket for a reply to a masqueraded IPv6 packet before the original
 *     address is restored, as Linux does since 6.15
 * @param tracksConnections whether the kernel tracks connections in this network namespace, because of other rules
 */
record KernelFeatures(boolean tproxy, boolean findsMasqueraded, boolean tracksConnections) {
    static KernelFeatures of(NodeKernel kernel) {
        return new KernelFeatures(
                accepts(
                        kernel,
                        "table inet sluice-probe { chain c { " + NftScript.DEFRAGMENT + " ; " + NftScript.LISTENER4
                                + " ; " + NftScript.LISTENER6 + " ; } ; }\n"),
                NodeRequirements.olderThan(System.getProperty("os.version", ""), 6, 15, 0)
                        .isEmpty(),
                isTracking());
    }

    private static boolean isTracking() {
        try {
            return !Sysctl.read("net/netfilter/nf_conntrack_count").equals("0");
        } catch (IOException e) {
            // The kernel has no connection tracking.
            return false;
        }
    }

    private static boolean accepts(NodeKernel kernel, String script) {
        try {
            kernel.check(script);
            return true;
        } catch (IOException e) {
            return false;
        }
    }
}
