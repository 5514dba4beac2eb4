package io.sluice.node;

import java.io.IOException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The chain that assigns listeners to new connections from bridges. It must run before br_netfilter's hook, and exists
 * only while that hook is active on a bridge. Guarded by the owner's lock.
 */
final class BridgeChain {
    private static final Logger log = LoggerFactory.getLogger(BridgeChain.class);

    private final RuleOptions options;
    private final NodeKernel kernel;
    private final NetworkInterfaces addresses;
    private boolean loaded;

    BridgeChain(RuleOptions options, NodeKernel kernel, NetworkInterfaces addresses) {
        this.options = options;
        this.kernel = kernel;
        this.addresses = addresses;
    }

    /** Returns the commands that add the chain to a new table; empty if it is not needed. */
    String script() {
        loaded = addresses.bridgesAreHooked();
        return loaded ? NftScript.bridgePrerouting(options) : "";
    }

    /** Adds the chain to the current table if it has become necessary. */
    void loadIfNeeded() {
        if (loaded || !addresses.bridgesAreHooked()) {
            return;
        }
        loaded = true;
        try {
            kernel.load(NftScript.bridgePrerouting(options));
        } catch (IOException e) {
            log.error("cannot load the rules for bridges; pods on bridges may fail to connect: {}", e.getMessage());
        }
    }
}
