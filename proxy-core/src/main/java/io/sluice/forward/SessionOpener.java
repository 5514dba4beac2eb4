package io.sluice.forward;

import io.sluice.balance.FrontendRouting;
import io.sluice.model.IpAddress;
import io.sluice.socket.InetSocket;
import io.sluice.stats.Counter;
import io.sluice.stats.CounterCells;

/** Opens a {@link TcpSession} for an accepted connection, unless the client already holds its share. */
final class SessionOpener {
    private SessionOpener() {}

    /** Takes ownership of the socket unless this method throws. Called on the loop's thread. */
    static void open(
            Loop loop,
            FrontendRoutes frontend,
            FrontendRouting routing,
            InetSocket socket,
            IpAddress client,
            int clientPort) {
        CounterCells cells = routing.service().stats.cells(loop.index);
        cells.increment(Counter.SESSIONS_OPENED);
        if (loop.clients.allowsSession(client)) {
            new TcpSession(loop, frontend, routing.service(), socket, client, clientPort, loop.now()).start(routing);
            return;
        }
        cells.increment(Counter.SESSIONS_OVER_CLIENT_SHARE);
        loop.exhaustion.noteClientLimit(client, loop.clients.percent());
        socket.resetOnClose();
        socket.closeQuietly();
        if (loop.reportsEnds()) {
            loop.ended(EndedConnection.limited(routing.service().stats.name(), frontend.address, client, clientPort));
        }
    }
}
