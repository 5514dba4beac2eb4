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

/** Tells beforehand, without opening a port, which addresses {@code run} could not listen on here. */
final class AddressCheck {
    private AddressCheck() {}

    /** Whether an address is one of this machine now: on an interface, anywhere in 127.0.0.0/8, or all of them. */
    static Predicate<IpAddress> ofThisMachine() throws IOException {
        // All at once: asking for each of ten thousand would look through the interfaces as often.
        Set<IpAddress> own = Set.copyOf(InterfaceAddresses.THIS_MACHINE.addresses());
        return address -> own.contains(address)
                || (address.isLoopback() && address.family() == Family.IPV4)
                || address.isUnspecified();
    }

    /**
     * One note for all of them, with what {@code run} would say of the first; empty if there are none.
     *
     * @param feed where the snapshot was read from
     */
    static Optional<Problem> note(String feed, ServiceSnapshot snapshot, Predicate<IpAddress> local) {
        int addresses = 0;
        int foreign = 0;
        FrontendStatus example = null;
        for (ServicePort port : snapshot.sorted()) {
            for (Frontend frontend : port.frontends()) {
                addresses++;
                // Without endpoints nobody listens, so it cannot fail.
                if (!frontend.forwardsAny() || local.test(frontend.address().address())) {
                    continue;
                }
                foreign++;
                if (example == null || isPlainer(frontend, example)) {
                    example = failed(port, frontend);
                }
            }
        }
        return note(feed, foreign, addresses, example);
    }

    /** IPv4 has an answer that works everywhere, so that is told first. */
    private static boolean isPlainer(Frontend frontend, FrontendStatus example) {
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

    private static Optional<Problem> note(String feed, int foreign, int addresses, @Nullable FrontendStatus example) {
        if (example == null) {
            return Optional.empty();
        }
        String message = "'sluice run' here cannot listen on " + foreign + " of " + Table.count(addresses, "address")
                + ", such as: " + StateChangeLog.reason(example);
        return Optional.of(new Problem(Problem.Severity.NOTE, feed, "", "", message));
    }
}
