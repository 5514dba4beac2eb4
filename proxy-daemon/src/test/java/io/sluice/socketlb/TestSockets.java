package io.sluice.socketlb;

import static org.awaitility.Awaitility.await;

import io.netty.channel.epoll.Epoll;
import io.sluice.model.FrontendAddress;
import io.sluice.socket.InetSocket;
import java.io.IOException;

/** Sockets of the address's own family, whereas the JDK's are of the family AF_INET6. */
final class TestSockets {
    static {
        Epoll.ensureAvailability();
    }

    private TestSockets() {}

    /** Starts to connect. */
    static InetSocket startConnecting(FrontendAddress to) throws IOException {
        InetSocket socket = InetSocket.stream(to.address().family());
        socket.connect(to.address().toSocketAddress(to.port()));
        return socket;
    }

    static InetSocket connect(FrontendAddress to) throws IOException {
        InetSocket socket = startConnecting(to);
        await().until(() -> socket.remoteAddress() != null);
        return socket;
    }
}
