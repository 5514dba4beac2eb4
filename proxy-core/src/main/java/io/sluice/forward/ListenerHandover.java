package io.sluice.forward;

import io.netty.util.concurrent.Future;
import io.sluice.balance.BalancePosition;
import io.sluice.balance.ServiceState;
import io.sluice.model.FrontendAddress;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.LongSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Releases the sockets of a {@link FrontendTable} for another process, takes them back if the handover fails, and
 * adopts the sockets of the old process. Used under the forwarder's lock.
 */
final class ListenerHandover {
    private static final Logger log = LoggerFactory.getLogger(ListenerHandover.class);

    private final FrontendTable table;

    ListenerHandover(FrontendTable table) {
        this.table = table;
    }

    /** The number of frontends and descriptors that {@link #release} would hand over now, not including UDP flows. */
    ForwarderHandover.Size size() {
        int open = 0;
        int sockets = 0;
        for (BoundFrontend frontend : table.frontends.values()) {
            open += frontend.isOpen() ? 1 : 0;
            sockets += frontend.sockets();
        }
        return new ForwarderHandover.Size(open, sockets);
    }

    /** See {@link Forwarder#release}. */
    ForwarderHandover release(LongSupplier nanoClock) {
        Map<FrontendAddress, List<Future<ForwarderHandover.OpenSocket>>> detaching = new HashMap<>();
        table.frontends.forEach((address, frontend) -> {
            if (frontend.isOpen()) {
                detaching.put(address, frontend.detach());
            }
        });
        List<ForwarderHandover.Sockets> sockets = new ArrayList<>(detaching.size());
        detaching.forEach((address, futures) -> {
            List<ForwarderHandover.OpenSocket> detached = detached(address, futures);
            if (!detached.isEmpty()) {
                sockets.add(new ForwarderHandover.Sockets(address, detached));
            }
        });
        Map<ServiceState, List<BalancePosition.AffinityEntry>> affinity =
                table.affinityTable.pins(nanoClock.getAsLong());
        List<BalancePosition> balance = new ArrayList<>(table.services.size());
        table.services.forEach((name, service) ->
                balance.add(new BalancePosition(name, service.turns(), affinity.getOrDefault(service, List.of()))));
        return new ForwarderHandover(sockets, balance, table.takenOut.release(nanoClock.getAsLong()));
    }

    private static List<ForwarderHandover.OpenSocket> detached(
            FrontendAddress address, List<Future<ForwarderHandover.OpenSocket>> futures) {
        List<ForwarderHandover.OpenSocket> sockets = new ArrayList<>(futures.size());
        for (Future<ForwarderHandover.OpenSocket> future : futures) {
            if (future.awaitUninterruptibly().isSuccess()) {
                sockets.add(future.getNow());
            } else {
                log.error("internal error; closing a socket of {} instead of handing it over", address, future.cause());
            }
        }
        return sockets;
    }

    /** See {@link Forwarder#takeBack}. */
    void takeBack(ForwarderHandover handover) {
        for (ForwarderHandover.Sockets sockets : handover.frontends()) {
            Objects.requireNonNull(table.frontends.get(sockets.address())).inherit(sockets);
        }
        table.reconcile(table.frontends.values().stream()
                .filter(frontend -> !frontend.isOpen())
                .toList());
        table.noteDraining();
    }

    /** See {@link Forwarder#inherit}. */
    void inherit(ForwarderHandover handover, long nowNanos) {
        table.takenOut.inherit(handover.takenOut(), nowNanos);
        for (ForwarderHandover.Sockets sockets : handover.frontends()) {
            table.inherited.put(sockets.address(), sockets);
        }
        for (BalancePosition balance : handover.services()) {
            table.positions.put(balance.name(), balance);
        }
    }
}
