package io.sluice.node;

import io.sluice.socket.Sysctl;
import java.io.IOException;

/**
 * Kernel features that the nftables table depends on.
 *
 * @param tproxy whether the kernel supports {@code tproxy}, which allows a listener to use a different port than its
 *     frontend; a {@code tproxy} rule also makes the kernel reassemble fragments
 * @param findsMasqueraded whether the {@code socket} expression finds the socket for a reply on a masqueraded IPv6
 *     connection before the original address is restored (Linux 6.15 or later)
 * @param tracksConnections whether connection tracking is active in this network namespace because other rules need it
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
            // The kernel does not support connection tracking.
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
