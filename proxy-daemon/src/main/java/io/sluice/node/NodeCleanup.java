package io.sluice.node;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Removes the rules that a killed process has left behind. */
public final class NodeCleanup {
    static final String REMOVE = "table inet sluice\ndelete table inet sluice\n" + SelfProbe.REMOVE;

    private NodeCleanup() {}

    /**
     * Removes the nftables table, and the routing rules and routes with the given mark, table and priority.
     *
     * @return what was removed, for people
     * @throws IOException if the kernel cannot be changed; the message is one line
     */
    public static List<String> run(RuleOptions options) throws IOException {
        try (LinuxKernel kernel = new LinuxKernel()) {
            Optional<String> missing = kernel.missingProgram();
            if (missing.isPresent()) {
                throw new IOException(missing.get());
            }
            return run(options, kernel);
        }
    }

    static List<String> run(RuleOptions options, NodeKernel kernel) throws IOException {
        List<String> removed = new ArrayList<>();
        boolean hadTable = hasTable(kernel);
        kernel.load(REMOVE);
        if (hadTable) {
            removed.add("nftables table inet sluice");
        }
        if (new PolicyRouting(options, kernel).remove()) {
            removed.add("routing rule of priority " + options.rulePriority() + " and routing table "
                    + options.routingTable());
        }
        return removed;
    }

    private static boolean hasTable(NodeKernel kernel) {
        try {
            kernel.check("delete table inet sluice\n");
            return true;
        } catch (IOException e) {
            // Any other reason makes the removal fail, too.
            return false;
        }
    }
}
