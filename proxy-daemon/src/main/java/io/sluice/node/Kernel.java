package io.sluice.node;

import java.io.IOException;

/**
 * What the table can leave to this kernel.
 *
 * @param tproxy whether it has the statement {@code tproxy}; its mere presence makes the kernel put fragments together
 * @param findsMasqueraded whether {@code socket} finds a socket in IPv6 before its address is put back, as Linux does
 *     since 6.15
 */
record Kernel(boolean tproxy, boolean findsMasqueraded) {
    static Kernel of(Shell shell) {
        return new Kernel(
                takes(shell, "table inet sluice-probe { chain c { " + Script.TPROXY + " ; } ; }\n"),
                Requirements.olderThan(System.getProperty("os.version", ""), 6, 15, 0)
                        .isEmpty());
    }

    private static boolean takes(Shell shell, String script) {
        try {
            shell.run(script, "nft", "-c", "-f", "-");
            return true;
        } catch (IOException e) {
            return false;
        }
    }
}
