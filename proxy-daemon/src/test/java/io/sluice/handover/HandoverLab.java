package io.sluice.handover;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import io.sluice.daemon.NameServer;
import io.sluice.daemon.RunIT;
import io.sluice.forward.Forwarder;
import io.sluice.forward.ForwarderCallbacks;
import io.sluice.forward.ForwarderConfig;
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
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import org.slf4j.LoggerFactory;

/** Forwarders in this process for a handover between them, a TCP and a UDP Service, and a client with a UDP flow. */
final class HandoverLab {
    static final String ADDRESS = "127.96.3.1";

    final int port = NameServer.freePort(ADDRESS);
    final ServiceSnapshot snapshot;
    private final List<AutoCloseable> open = new ArrayList<>();
    private final ListAppender<ILoggingEvent> appender = new ListAppender<>();
    private final Logger logger = (Logger) LoggerFactory.getLogger("io.sluice.handover");
    private final DatagramSocket client;

    HandoverLab() throws IOException {
        appender.start();
        // Another test may have changed the level.
        logger.setLevel(Level.INFO);
        logger.addAppender(appender);
        NameServer tcp = closeLater(new NameServer("127.0.0.1", 0, "tcp"));
        DatagramSocket udp = closeLater(udpServer());
        snapshot = ServiceSnapshot.of(
                service("web", Protocol.TCP, port, tcp.port()), service("ask", Protocol.UDP, port, udp.getLocalPort()));
        client = closeLater(new DatagramSocket());
        client.setSoTimeout((int) RunIT.TIMEOUT.toMillis());
        client.connect(InetAddress.getByName(ADDRESS), port);
    }

    private static ServicePort service(String name, Protocol protocol, int port, int endpointPort) {
        IpAddress address = Objects.requireNonNull(IpAddress.parse(ADDRESS));
        Endpoint endpoint = new Endpoint(Objects.requireNonNull(IpAddress.parse("127.0.0.1")), endpointPort);
        return new ServicePort(
                new ServicePortName("test", name, "", protocol),
                SessionAffinity.NONE,
                protocol == Protocol.UDP ? Set.of(endpoint) : Set.of(),
                List.of(Frontend.of(
                        new FrontendAddress(protocol, address, port),
                        Route.forward(List.of(endpoint), Route.Source.NODE))));
    }

    /** Replies to each datagram with its source port. */
    private static DatagramSocket udpServer() throws IOException {
        DatagramSocket socket = new DatagramSocket(0, InetAddress.getLoopbackAddress());
        Thread thread = new Thread(() -> {
            DatagramPacket packet = new DatagramPacket(new byte[64], 64);
            try {
                while (true) {
                    packet.setLength(64);
                    socket.receive(packet);
                    byte[] answer = String.valueOf(packet.getPort()).getBytes(StandardCharsets.UTF_8);
                    socket.send(new DatagramPacket(answer, answer.length, packet.getSocketAddress()));
                }
            } catch (IOException e) {
                assertThat(socket.isClosed()).as(e.toString()).isTrue();
            }
        });
        thread.setDaemon(true);
        thread.start();
        return socket;
    }

    /** A Service with a single endpoint. */
    static ServicePort stream(int port, ServerSocket endpoint) {
        return service("stream", Protocol.TCP, port, endpoint.getLocalPort());
    }

    <T extends AutoCloseable> T closeLater(T resource) {
        open.add(resource);
        return resource;
    }

    /** Creates a forwarder without a snapshot. */
    Forwarder forwarder() {
        return closeLater(new Forwarder(ForwarderConfig.defaults().withLoops(1), ForwarderCallbacks.of(status -> {})));
    }

    Socket connectTcp() throws IOException {
        Socket socket = new Socket(ADDRESS, port);
        socket.setSoTimeout((int) RunIT.TIMEOUT.toMillis());
        return socket;
    }

    /** Reads what the TCP Service sends on this connection. */
    static String read(Socket socket) throws IOException {
        return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    }

    /** Sends a request to both Services; returns the source port of the UDP flow as the endpoint sees it. */
    String use() throws IOException {
        assertThat(NameServer.ask(ADDRESS, port)).isEqualTo("tcp");
        client.send(new DatagramPacket(new byte[] {'?'}, 1));
        DatagramPacket answer = new DatagramPacket(new byte[64], 64);
        client.receive(answer);
        return new String(answer.getData(), 0, answer.getLength(), StandardCharsets.UTF_8);
    }

    /** Returns logged warnings and errors that contain a string. */
    List<String> warnings(String text) {
        synchronized (appender) {
            return List.copyOf(appender.list).stream()
                    .filter(event -> event.getLevel().isGreaterOrEqual(Level.WARN))
                    .map(ILoggingEvent::getFormattedMessage)
                    .filter(message -> message.contains(text))
                    .toList();
        }
    }

    void closeAll() throws Exception {
        logger.detachAppender(appender);
        logger.setLevel(null);
        for (int i = open.size() - 1; i >= 0; i--) {
            open.get(i).close();
        }
    }
}
