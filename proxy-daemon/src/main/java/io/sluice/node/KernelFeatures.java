package io.sluice.node;

import io.sluice.socket.Sysctl;
import java.io.IOException;

/**
 * What the table can leave to this kernel.
 *
 * @param tproxy whether it has the statement {@code tproxy}, with which listeners may have ports of their own, and whose mere
 *     presence makes the kernel put fragments together
 * @param findsMasqueraded whether {@code socket} finds a socket in IPv6 before its address is put back, as Linux does
 *     since 6.15
 * @param tracks whether somebody else has it track connections here
 */
record KernelFeatures(boolean tproxy, boolean findsMasqueraded, boolean tracks) {
    static KernelFeatures of(NodeKernel kernel) {
        return new KernelFeatures(
                takes(
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
            // A kernel that does not have it.
            return false;
        }
    }

    private static boolean takes(NodeKernel kernel, String script) {
        try {
            kernel.check(script);
            return true;
        } catch (IOException e) {
            return false;
        }
    }
}
