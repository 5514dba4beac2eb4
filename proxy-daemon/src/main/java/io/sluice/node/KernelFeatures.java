package io.sluice.node;

import java.io.IOException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Kernel features that the nftables table depends on.
 *
 * @param tproxy whether the kernel supports {@code tproxy}, which allows a listener to use a different port than its
 *     frontend; a {@code tproxy} rule also makes the kernel reassemble fragments
 * @param findsMasqueraded whether the {@code socket} expression finds the socket for a reply on a masqueraded IPv6
 *     connection before the original address is restored (Linux 6.15 or later)
 * @param tracksConnections whether connection tracking is active in this network namespace
 */
record KernelFeatures(boolean tproxy, boolean findsMasqueraded, boolean tracksConnections) {
    private static final Logger log = LoggerFactory.getLogger(KernelFeatures.class);

    static KernelFeatures of(NodeKernel kernel) {
        boolean tproxy = accepts(
                kernel,
                "table inet sluice-probe { chain c { " + NftScript.DEFRAGMENT + " ; " + NftScript.LISTENER4 + " ; "
                        + NftScript.LISTENER6 + " ; } ; }\n");
        if (!tproxy) {
            log.warn(
                    "this kernel does not support nft tproxy (module nft_tproxy): using connection tracking; a TCP port"
                            + " on which another process listens on all addresses cannot be served");
        }
        return new KernelFeatures(
                tproxy,
                NodeRequirements.olderThan(System.getProperty("os.version", ""), 6, 15, 0)
                        .isEmpty(),
                // Without tproxy, the table itself turns on connection tracking, which reassembles fragments.
                !tproxy || kernel.tracksConnections());
    }

    /** Returns the features after another program has turned on connection tracking. */
    KernelFeatures withTracking() {
        return new KernelFeatures(tproxy, findsMasqueraded, true);
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
