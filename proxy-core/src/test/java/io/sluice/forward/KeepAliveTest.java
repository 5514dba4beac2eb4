package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.netty.channel.unix.Socket;
import io.sluice.model.Family;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.socket.InetSocket;
import io.sluice.socket.KeepAlive;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class KeepAliveTest {
    private static final int IPPROTO_TCP = 6;
    private static final int TCP_KEEPIDLE = 4;
    private static final int TCP_KEEPINTVL = 5;
    private static final int TCP_KEEPCNT = 6;

    private static KeepAlive of(Socket socket) throws IOException {
        assertThat(socket.isKeepAlive()).isTrue();
        return new KeepAlive(
                socket.getIntOpt(IPPROTO_TCP, TCP_KEEPIDLE),
                socket.getIntOpt(IPPROTO_TCP, TCP_KEEPINTVL),
                socket.getIntOpt(IPPROTO_TCP, TCP_KEEPCNT));
    }

    /** So keep-alive needs no system call per client connection. */
    @Test
    void acceptedConnectionsInheritKeepAliveFromTheListeningSocket() throws Exception {
        KeepAlive keepAlive = new KeepAlive(61, 16, 7);
        InetSocket listening = InetSocket.stream(Family.IPV4);
        keepAlive.enable(listening);
        listening.bind(Lab.ip("127.0.0.1").toSocketAddress(0));
        listening.listen(1);
        InetSocketAddress address = listening.localAddress();
        assertThat(address).isNotNull();
        try (java.net.Socket client = new java.net.Socket(address.getAddress(), address.getPort())) {
            AtomicInteger fd = new AtomicInteger(-1);
            await().until(() -> {
                fd.set(listening.accept(new byte[26]));
                return fd.get() >= 0;
            });
            InetSocket accepted = new InetSocket(fd.get());
            assertThat(of(accepted)).isEqualTo(keepAlive);
            accepted.close();
            assertThat(client.isConnected()).isTrue();
        } finally {
            listening.close();
        }
    }

    @Test
    void anAdoptedListenerGetsTheNewKeepAlive() throws Exception {
        FrontendAddress address = Lab.freeAddress(Protocol.TCP);
        try (Lab before = new Lab(1);
                Lab after = new Lab(Lab.limited(0, 100, 0, new KeepAlive(62, 17, 6)))) {
            before.apply(Lab.service("web", address, before.endpointServer("a").endpoint()));
            ForwarderHandover released = before.forwarder.release();
            Socket listening = new Socket(released.descriptors().get(0));
            assertThat(of(listening)).isEqualTo(ForwarderConfig.defaults().keepAlive());
            after.forwarder.inherit(released);
            after.apply(Lab.service("web", address, before.endpointServer("b").endpoint()));
            assertThat(of(listening)).isEqualTo(new KeepAlive(62, 17, 6));
        }
    }
}
