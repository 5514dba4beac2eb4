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

/** Takes the sockets of a {@link FrontendTable} away for another process, and puts them back. Under the forwarder's lock. */
final class ListenerHandover {
    private static final Logger log = LoggerFactory.getLogger(ListenerHandover.class);

    private final FrontendTable table;

    ListenerHandover(FrontendTable table) {
        this.table = table;
    }

    /** How much {@link #release} would hand out now, but for UDP flows. */
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
        Map<ServiceState, List<BalancePosition.AffinityEntry>> pins = table.affinityTable.pins(nanoClock.getAsLong());
        List<BalancePosition> balance = new ArrayList<>(table.services.size());
        table.services.forEach((name, service) ->
                balance.add(new BalancePosition(name, service.turns(), pins.getOrDefault(service, List.of()))));
        return new ForwarderHandover(sockets, balance);
    }

    private static List<ForwarderHandover.OpenSocket> detached(
            FrontendAddress address, List<Future<ForwarderHandover.OpenSocket>> futures) {
        List<ForwarderHandover.OpenSocket> sockets = new ArrayList<>(futures.size());
        for (Future<ForwarderHandover.OpenSocket> future : futures) {
            if (future.awaitUninterruptibly().isSuccess()) {
                sockets.add(future.getNow());
            } else {
                log.error("internal error; not handing over a socket of {}", address, future.cause());
            }
        }
        return sockets;
    }

    /** See {@link Forwarder#takeBack}. */
    void takeBack(ForwarderHandover handOver) {
        for (ForwarderHandover.Sockets sockets : handOver.frontends()) {
            Objects.requireNonNull(table.frontends.get(sockets.address())).inherit(sockets);
        }
        table.settle(table.frontends.values().stream()
                .filter(frontend -> !frontend.isOpen())
                .toList());
        table.noteLingering();
    }

    /** See {@link Forwarder#inherit}. */
    void inherit(ForwarderHandover handOver) {
        for (ForwarderHandover.Sockets sockets : handOver.frontends()) {
            table.inherited.put(sockets.address(), sockets);
        }
        for (BalancePosition balance : handOver.services()) {
            table.positions.put(balance.name(), balance);
        }
    }
}
