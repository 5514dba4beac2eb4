package io.sluice.daemon;

import io.sluice.config.Settings;
import io.sluice.node.NodeRules;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Leaves new connections and flows to kube-proxy at the beginning of a graceful shutdown, if kube-proxy serves the same
 * Services. Until then, Sluice continues to serve.
 */
final class ReturnToKubeProxy {
    /** How long to wait for kube-proxy, which tries every 5 s to open its health port. */
    private static final Duration WAIT = Duration.ofSeconds(8);

    /** Time for the handshakes of connections that began before, because closing a listener resets them. */
    private static final long HANDSHAKE_MILLIS = 500;

    private ReturnToKubeProxy() {}

    /** Returns whether new traffic is left to kube-proxy. Takes at most half of the drain timeout. */
    static boolean attempt(Settings settings, @Nullable NodeRules rules, HttpPorts ports) throws InterruptedException {
        // kube-proxy does not serve Services with a label for another proxy.
        if (rules == null || !settings.buildOptions().serviceProxyName().isEmpty()) {
            return false;
        }
        Duration half = settings.drainTimeout().dividedBy(2);
        boolean left = rules.leaveNewToKubeProxy(half.compareTo(WAIT) < 0 ? half : WAIT, ports::closeHealthAndMetrics);
        if (left) {
            ports.closeHealthChecks();
            TimeUnit.MILLISECONDS.sleep(HANDSHAKE_MILLIS);
        }
        return left;
    }
}
