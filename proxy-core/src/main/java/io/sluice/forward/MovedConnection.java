package io.sluice.forward;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.ServicePortName;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * An open TCP connection that one process has released and another continues.
 *
 * <p>The component names are JSON keys of the handover protocol. The descriptors are open; the owner of this object
 * must either close them or pass this object to another owner. Times are durations, because the clocks of two processes
 * differ.
 *
 * @param descriptor the client's socket
 * @param peer the address from which the client's packets arrive
 * @param client the client's address; differs from {@code peer} if a PROXY protocol header said so
 * @param ageNanos time since the connection was accepted
 * @param tries number of attempts to connect to an endpoint
 * @param unsent data from the client that was read before there was an endpoint
 * @param forwarding the connection to the endpoint; null if the client waits for one
 */
public record MovedConnection(
        int descriptor,
        FrontendAddress frontend,
        ServicePortName service,
        IpAddress peer,
        IpAddress client,
        int clientPort,
        long ageNanos,
        int tries,
        ByteBuffer unsent,
        @Nullable Forwarding forwarding) {

    /** @throws NullPointerException if a component is null, except for {@code forwarding} */
    public MovedConnection {
        Objects.requireNonNull(frontend);
        Objects.requireNonNull(service);
        Objects.requireNonNull(peer);
        Objects.requireNonNull(client);
        Objects.requireNonNull(unsent);
    }

    /**
     * The connection to the endpoint.
     *
     * @param descriptor the endpoint's socket
     * @param connectNanos time from accepting the client's connection until the endpoint accepted it
     * @param drainNanos time until the connection is reset because its endpoint was removed; negative if it is not
     */
    public record Forwarding(
            int descriptor, Endpoint endpoint, long connectNanos, long drainNanos, Stream toEndpoint, Stream toClient) {
        /** @throws NullPointerException if a component is null */
        public Forwarding {
            Objects.requireNonNull(endpoint);
            Objects.requireNonNull(toEndpoint);
            Objects.requireNonNull(toClient);
        }
    }

    /**
     * One direction of a connection.
     *
     * @param bytes number of bytes read from the sender
     * @param ended whether the sender sent FIN, which was forwarded
     * @param pending bytes that were read from the sender but not yet written to the reader
     */
    public record Stream(long bytes, boolean ended, ByteBuffer pending) {
        /** @throws NullPointerException if there are no {@code pending} bytes, instead of none */
        public Stream {
            Objects.requireNonNull(pending);
        }
    }

    /** Number of bytes of the buffer budget that this connection needs. */
    public int bufferedBytes() {
        return forwarding == null
                ? 0
                : forwarding.toEndpoint.pending.remaining() + forwarding.toClient.pending.remaining();
    }

    /** Returns the bytes of connections that were read but not yet written, in a fixed order. */
    public static List<ByteBuffer> buffers(List<MovedConnection> connections) {
        List<ByteBuffer> buffers = new ArrayList<>();
        for (MovedConnection connection : connections) {
            buffers.add(connection.unsent);
            if (connection.forwarding != null) {
                buffers.add(connection.forwarding.toEndpoint.pending);
                buffers.add(connection.forwarding.toClient.pending);
            }
        }
        return buffers;
    }

    /** Returns the descriptors of connections, in the order that {@link #withDescriptors} expects. */
    public static List<Integer> descriptors(List<MovedConnection> connections) {
        List<Integer> descriptors = new ArrayList<>();
        for (MovedConnection connection : connections) {
            descriptors.add(connection.descriptor);
            if (connection.forwarding != null) {
                descriptors.add(connection.forwarding.descriptor);
            }
        }
        return descriptors;
    }

    /** Returns copies with the descriptor numbers that these sockets have in the process that received them. */
    public static List<MovedConnection> withDescriptors(List<MovedConnection> connections, List<Integer> descriptors) {
        Iterator<Integer> next = descriptors.iterator();
        return connections.stream()
                .map(connection -> connection.renumbered(next))
                .toList();
    }

    private MovedConnection renumbered(Iterator<Integer> next) {
        int received = next.next();
        Forwarding before = forwarding;
        Forwarding after = before == null
                ? null
                : new Forwarding(
                        next.next(),
                        before.endpoint,
                        before.connectNanos,
                        before.drainNanos,
                        before.toEndpoint,
                        before.toClient);
        return new MovedConnection(
                received, frontend, service, peer, client, clientPort, ageNanos, tries, unsent, after);
    }
}
