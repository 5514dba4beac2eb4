package io.sluice.node;

import io.sluice.node.SetElements.Element;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The machine's TCP connections that need the rules: their sockets have an address that is not the machine's, so what is
 * sent to them comes here only because it is led here.
 */
final class ServiceConnections {
    private static final Logger log = LoggerFactory.getLogger(ServiceConnections.class);
    private static final int LOOK_MILLIS = 50;

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
     * Those of the node's own processes that outlive their frontend, as elements. They are told one by one: the address may
     * be served elsewhere from now on, and new connections go there. What comes from others is known by our sockets.
     */
    List<Element> late(Predicate<TcpConnection> which) throws IOException {
        return list().stream()
                .filter(connection -> addresses.isOwn(connection.peer()) && which.test(connection))
                .map(TcpConnection::late)
                .toList();
    }

    /** Waits until the peers of those that are closed here have taken what was sent to them. */
    void awaitDelivery(Duration atMost) throws InterruptedException {
        long deadline = System.nanoTime() + atMost.toNanos();
        boolean said = false;
        try {
            for (long left = undelivered(); left > 0; left = undelivered()) {
                if (System.nanoTime() - deadline >= 0) {
                    log.warn("closed connections end before their peers have taken all that was sent: {}", left);
                    return;
                }
                if (!said) {
                    said = true;
                    log.info("waiting for the peers of closed connections to take all that was sent: {}", left);
                }
                TimeUnit.MILLISECONDS.sleep(LOOK_MILLIS);
            }
        } catch (IOException e) {
            log.warn("closed connections may end before their peers have taken all that was sent: {}", e.getMessage());
        }
    }

    private long undelivered() throws IOException {
        return list().stream().filter(TcpConnection::isClosed).count();
    }

    /** Flows that had an answer, as the table that is there, perhaps a predecessor's, has them. */
    List<Element> answeredFlows() {
        List<Element> flows = new ArrayList<>();
        for (String set : List.of("flow4", "flow6", "asked4", "asked6")) {
            String kind = set.startsWith("asked") ? "map" : "set";
            try {
                flows.addAll(kernel.elements(kind, set));
            } catch (IOException e) {
                log.debug("no flows known from before: {}", e.getMessage());
            }
        }
        return flows;
    }
}
