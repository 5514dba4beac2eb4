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
final class Detachment {
    private static final Logger log = LoggerFactory.getLogger(Detachment.class);

    private final FrontendTable table;

    Detachment(FrontendTable table) {
        this.table = table;
    }

    /** How much {@link #release} would hand out now, but for UDP flows. */
    HandOver.Size size() {
        int open = 0;
        int sockets = 0;
        for (BoundFrontend frontend : table.frontends.values()) {
            open += frontend.isOpen() ? 1 : 0;
            sockets += frontend.sockets();
        }
        return new HandOver.Size(open, sockets);
    }

    /** See {@link Forwarder#release}. */
    HandOver release(LongSupplier nanoClock) {
        Map<FrontendAddress, List<Future<HandOver.OpenSocket>>> detaching = new HashMap<>();
        table.frontends.forEach((address, frontend) -> {
            if (frontend.isOpen()) {
                detaching.put(address, frontend.detach());
            }
        });
        List<HandOver.Sockets> sockets = new ArrayList<>(detaching.size());
        detaching.forEach((address, futures) -> {
            List<HandOver.OpenSocket> detached = detached(address, futures);
            if (!detached.isEmpty()) {
                sockets.add(new HandOver.Sockets(address, detached));
            }
        });
        Map<ServiceState, List<BalancePosition.Pin>> pins = table.affinityTable.pins(nanoClock.getAsLong());
        List<BalancePosition> balance = new ArrayList<>(table.services.size());
        table.services.forEach((name, service) ->
                balance.add(new BalancePosition(name, service.turns(), pins.getOrDefault(service, List.of()))));
        return new HandOver(sockets, balance);
    }

    private static List<HandOver.OpenSocket> detached(
            FrontendAddress address, List<Future<HandOver.OpenSocket>> futures) {
        List<HandOver.OpenSocket> sockets = new ArrayList<>(futures.size());
        for (Future<HandOver.OpenSocket> future : futures) {
            if (future.awaitUninterruptibly().isSuccess()) {
                sockets.add(future.getNow());
            } else {
                log.error("internal error; not handing over a socket of {}", address, future.cause());
            }
        }
        return sockets;
    }

    /** See {@link Forwarder#takeBack}. */
    void takeBack(HandOver handOver) {
        for (HandOver.Sockets sockets : handOver.frontends()) {
            Objects.requireNonNull(table.frontends.get(sockets.address())).inherit(sockets);
        }
        table.settle(table.frontends.values().stream()
                .filter(frontend -> !frontend.isOpen())
                .toList());
        table.noteLingering();
    }

    /** See {@link Forwarder#inherit}. */
    void inherit(HandOver handOver) {
        for (HandOver.Sockets sockets : handOver.frontends()) {
            table.inherited.put(sockets.address(), sockets);
        }
        for (BalancePosition balance : handOver.services()) {
            table.positions.put(balance.name(), balance);
        }
    }
}
