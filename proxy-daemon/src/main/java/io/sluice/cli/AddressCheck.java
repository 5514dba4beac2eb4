package io.sluice.cli;

import io.sluice.document.Problem;
import io.sluice.forward.FrontendStatus;
import io.sluice.model.Family;
import io.sluice.model.Frontend;
import io.sluice.model.IpAddress;
import io.sluice.model.ServicePort;
import io.sluice.model.ServiceSnapshot;
import io.sluice.node.InterfaceAddresses;
import io.sluice.ops.StateChangeLog;
import io.sluice.text.Table;
import java.io.IOException;
import java.time.Instant;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/** Predicts, without opening a port, which addresses {@code sluice run} would fail to listen on. */
final class AddressCheck {
    private AddressCheck() {}

    /** Returns a predicate for local addresses: those on an interface now, 127.0.0.0/8, and the unspecified ones. */
    static Predicate<IpAddress> ofThisMachine() throws IOException {
        // Read once: otherwise each of ten thousand addresses would enumerate the interfaces again.
        Set<IpAddress> own = Set.copyOf(InterfaceAddresses.THIS_MACHINE.addresses());
        return address -> own.contains(address)
                || (address.isLoopback() && address.family() == Family.IPV4)
                || address.isUnspecified();
    }

    /**
     * Returns a single note about all addresses that are not local, which quotes the message that {@code sluice run}
     * would log for one of them; empty if all are local.
     *
     * @param feed source of the snapshot
     */
    static Optional<Problem> note(String feed, ServiceSnapshot snapshot, Predicate<IpAddress> local) {
        int addresses = 0;
        int notLocal = 0;
        FrontendStatus example = null;
        for (ServicePort port : snapshot.sorted()) {
            for (Frontend frontend : port.frontends()) {
                addresses++;
                // No listener is opened for a frontend without endpoints, so it cannot fail.
                if (!frontend.isListening() || local.test(frontend.address().address())) {
                    continue;
                }
                notLocal++;
                if (example == null || isBetterExample(frontend, example)) {
                    example = failed(port, frontend);
                }
            }
        }
        return note(feed, notLocal, addresses, example);
    }

    /** Prefers IPv4 addresses, for which the suggested remedy works on every machine. */
    private static boolean isBetterExample(Frontend frontend, FrontendStatus example) {
        return example.address().address().family() == Family.IPV6
                && frontend.address().address().family() == Family.IPV4;
    }

    private static FrontendStatus failed(ServicePort port, Frontend frontend) {
        return new FrontendStatus(
                frontend.address(),
                port.name(),
                FrontendStatus.State.FAILED,
                FrontendStatus.Failure.ADDRESS_NOT_LOCAL,
                "not an address of this machine",
                Instant.EPOCH);
    }

    private static Optional<Problem> note(String feed, int notLocal, int addresses, @Nullable FrontendStatus example) {
        if (example == null) {
            return Optional.empty();
        }
        String message = "'sluice run' cannot listen on " + notLocal + " of " + Table.count(addresses, "address")
                + " on this machine, for example: " + StateChangeLog.reason(example);
        return Optional.of(new Problem(Problem.Severity.NOTE, feed, "", "", message));
    }
}
