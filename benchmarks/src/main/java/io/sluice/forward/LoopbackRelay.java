package io.sluice.forward;

import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SessionAffinity;
import java.io.IOException;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.util.List;
import java.util.Set;

/** A forwarder with one service on loopback and one endpoint in this process. */
final class LoopbackRelay implements AutoCloseable {
    private final Forwarder forwarder = new Forwarder(ForwarderConfig.defaults(), ForwarderCallbacks.of(status -> {}));
    final InetSocketAddress address;

    LoopbackRelay(Protocol protocol, InetSocketAddress endpoint) throws IOException {
        address = new InetSocketAddress(InetAddress.getLoopbackAddress(), freePort(protocol));
        FrontendAddress frontend = new FrontendAddress(protocol, IpAddress.of(address.getAddress()), address.getPort());
        List<Endpoint> endpoints = List.of(new Endpoint(IpAddress.of(endpoint.getAddress()), endpoint.getPort()));
        forwarder.apply(ServiceSnapshot.of(new ServicePort(
                new ServicePortName("bench", "echo", "", protocol),
                SessionAffinity.NONE,
                protocol == Protocol.UDP ? Set.copyOf(endpoints) : Set.of(),
                List.of(Frontend.of(frontend, Route.forward(endpoints, Route.Source.NODE))))));
        for (FrontendStatus status : forwarder.frontends()) {
            if (status.state() != FrontendStatus.State.ACTIVE) {
                forwarder.close();
                throw new IOException(status.address() + ": " + status.reason());
            }
        }
    }

    private static int freePort(Protocol protocol) throws IOException {
        InetSocketAddress any = new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
        if (protocol == Protocol.UDP) {
            try (DatagramSocket socket = new DatagramSocket(any)) {
                return socket.getLocalPort();
            }
        }
        try (ServerSocket socket = new ServerSocket()) {
            socket.bind(any);
            return socket.getLocalPort();
        }
    }

    @Override
    public void close() {
        LoopAllocationProfiler.beforeLoopsEnd();
        forwarder.close();
    }
}
