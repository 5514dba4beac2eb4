package io.sluice.node;

import io.sluice.node.SetElements.Element;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Lists TCP connections and UDP flows that depend on the rules. Their sockets are bound to an address that is not on
 * any interface, so packets reach them only because the rules redirect them.
 */
final class ServiceConnections {
    private static final Logger log = LoggerFactory.getLogger(ServiceConnections.class);
    private static final int POLL_MILLIS = 50;

    private final NodeKernel kernel;
    private final NetworkInterfaces addresses;

    ServiceConnections(NodeKernel kernel, NetworkInterfaces addresses) {
        this.kernel = kernel;
        this.addresses = addresses;
    }

    private List<TcpConnection> list() throws IOException {
        return kernel.connections().stream()
                .filter(connection -> !addresses.isOwn(connection.local())
                        && !connection.local().isLoopback())
                .toList();
    }

    /**
     * Returns elements of the set {@code removed-frontend} for connections of local processes. Each connection needs
     * its own element, because new connections to the same address may no longer belong to Sluice. Connections of other
     * clients need no element: the rules find Sluice's socket for their packets.
     */
    List<Element> removedFrontendElements(Predicate<TcpConnection> which) throws IOException {
        return list().stream()
                .filter(connection -> addresses.isOwn(connection.peer()) && which.test(connection))
                .map(TcpConnection::removedFrontendElement)
                .toList();
    }

    /** Returns the elements for connections of local processes to the frontends with these keys. */
    List<Element> removedFrontendElements(Set<String> frontends) throws IOException {
        return frontends.isEmpty()
                ? List.of()
                : removedFrontendElements(connection -> frontends.contains(connection.frontend()));
    }

    /** Waits until the peers of closed connections have acknowledged all data. */
    void awaitDelivery(Duration atMost) throws InterruptedException {
        long deadline = System.nanoTime() + atMost.toNanos();
        boolean logged = false;
        try {
            for (long left = countUndelivered(); left > 0; left = countUndelivered()) {
                if (System.nanoTime() - deadline >= 0) {
                    log.warn("peers of {} closed connections have not acknowledged all data; removing the rules", left);
                    return;
                }
                if (!logged) {
                    logged = true;
                    log.info("waiting until the peers of {} closed connections have acknowledged all data", left);
                }
                TimeUnit.MILLISECONDS.sleep(POLL_MILLIS);
            }
        } catch (IOException e) {
            log.warn("not waiting for the peers of closed connections to acknowledge all data: {}", e.getMessage());
        }
    }

    private long countUndelivered() throws IOException {
        return list().stream().filter(TcpConnection::isClosed).count();
    }

    /** Returns the UDP flows with a reply in the current table, which an earlier process may have created. */
    List<Element> repliedFlows() {
        List<Element> flows = new ArrayList<>();
        for (String set : List.of("flow4", "flow6", "used-node-port-address4", "used-node-port-address6")) {
            String kind = set.startsWith("flow") ? "set" : "map";
            try {
                flows.addAll(kernel.elements(kind, set));
            } catch (IOException e) {
                log.debug("cannot read UDP flows from '{}' of an earlier table: {}", set, e.getMessage());
            }
        }
        return flows;
    }
}
