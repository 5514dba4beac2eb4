package io.sluice.node;

import java.io.IOException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The rules for new connections and flows while Sluice drains. Guarded by the owner's lock. */
final class DrainRules {
    private static final Logger log = LoggerFactory.getLogger(DrainRules.class);

    private final RuleOptions options;
    private final NodeKernel kernel;
    private final ServiceConnections connections;
    private String script = "";

    DrainRules(RuleOptions options, NodeKernel kernel, ServiceConnections connections) {
        this.options = options;
        this.kernel = kernel;
        this.connections = connections;
    }

    /** Returns the commands that add these rules to a new table; empty while Sluice does not drain. */
    String script() {
        return script;
    }

    /**
     * Rejects new traffic.
     *
     * @param loaded whether there is a table to change
     */
    void reject(boolean loaded) {
        script = NftScript.REJECT_NEW;
        if (!loaded) {
            return;
        }
        try {
            kernel.load(script);
        } catch (IOException e) {
            log.warn("cannot load rules that reject new connections; relying on closed ports: {}", e.getMessage());
        }
    }

    /** Leaves new traffic to kube-proxy, and returns whether the rules for this could be loaded. */
    boolean release() {
        try {
            // While the connections of local processes are listed, new ones must wait, or the list would lack some.
            kernel.load(NftScript.DROP_NEW);
            String open = NftScript.add(connections.removedFrontendElements(each -> true));
            String release = NftScript.releaseNew(options);
            kernel.load(open + release);
            script = release;
            return true;
        } catch (IOException e) {
            log.warn("cannot load rules that leave new connections to kube-proxy; rejecting them: {}", e.getMessage());
            return false;
        }
    }
}
