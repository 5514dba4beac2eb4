package io.sluice.forward;

import io.sluice.balance.BalancePosition;
import io.sluice.balance.EndpointHealth;
import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.socket.InetSocket;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;

/**
 * State that the forwarder of the old process hands over to the new process: listening and UDP sockets, UDP flows,
 * round-robin positions and session affinity. Open TCP connections follow as {@link MovedConnection}s.
 *
 * <p>The component names are JSON keys of the handover protocol. The descriptors are open; the owner of this object
 * must either close them or pass this object to another owner.
 *
 * @param frontends the frontends with their sockets
 * @param services the balancing state of each service port
 * @param takenOut the endpoints that an operator has drained or disabled. Versions before 0.2 do not know this component,
 *     so it is written only if it is not empty
 */
public record ForwarderHandover(List<Sockets> frontends, List<BalancePosition> services, List<TakenOut> takenOut) {
    /**
     * An endpoint that an operator has drained or disabled.
     *
     * @param service the Service, as {@code namespace/name}
     * @param sinceMillis time of the change, in milliseconds since the epoch
     * @param remainingNanos time until the endpoint is put back; {@link #NO_END} if it is not
     */
    public record TakenOut(
            String service, Endpoint endpoint, EndpointHealth.State state, long sinceMillis, long remainingNanos) {
        static final long NO_END = -1;
    }

    /** A frontend address and its sockets, of which there is at least one. */
    public record Sockets(FrontendAddress address, List<OpenSocket> sockets) {}

    /** A listening TCP socket, whose list of flows is empty, or a UDP socket and its flows. */
    public record OpenSocket(int descriptor, List<OpenFlow> flows) {}

    /**
     * A UDP flow and its connected socket.
     *
     * @param descriptor the socket that is connected to the endpoint
     * @param asked number of datagrams from the client
     * @param answered number of datagrams from the endpoint
     * @param ageNanos time since the flow was opened
     */
    public record OpenFlow(
            int descriptor,
            IpAddress client,
            int clientPort,
            Endpoint endpoint,
            long asked,
            long answered,
            long ageNanos) {}

    /** Number of frontends and descriptors to hand over. */
    public record Size(int frontends, int descriptors) {}

    /** Returns all descriptors, in the order that {@link #withDescriptors} expects. */
    public List<Integer> descriptors() {
        List<Integer> descriptors = new ArrayList<>();
        for (Sockets frontend : frontends) {
            for (OpenSocket socket : frontend.sockets) {
                descriptors.add(socket.descriptor);
                socket.flows.forEach(flow -> descriptors.add(flow.descriptor));
            }
        }
        return descriptors;
    }

    /** Returns a copy with the descriptor numbers that these sockets have in the process that received them. */
    public ForwarderHandover withDescriptors(List<Integer> descriptors) {
        Iterator<Integer> next = descriptors.iterator();
        List<Sockets> renumbered = new ArrayList<>(frontends.size());
        for (Sockets frontend : frontends) {
            List<OpenSocket> sockets = new ArrayList<>(frontend.sockets.size());
            for (OpenSocket socket : frontend.sockets) {
                int descriptor = next.next();
                List<OpenFlow> flows = new ArrayList<>(socket.flows.size());
                for (OpenFlow flow : socket.flows) {
                    flows.add(new OpenFlow(
                            next.next(),
                            flow.client,
                            flow.clientPort,
                            flow.endpoint,
                            flow.asked,
                            flow.answered,
                            flow.ageNanos));
                }
                sockets.add(new OpenSocket(descriptor, flows));
            }
            renumbered.add(new Sockets(frontend.address, sockets));
        }
        return new ForwarderHandover(renumbered, services, takenOut);
    }

    /** Number of UDP flows. */
    public int flows() {
        int flows = 0;
        for (Sockets frontend : frontends) {
            for (OpenSocket socket : frontend.sockets) {
                flows += socket.flows.size();
            }
        }
        return flows;
    }

    static void close(Sockets sockets) {
        for (OpenSocket socket : sockets.sockets) {
            InetSocket.close(socket.descriptor);
            close(socket.flows);
        }
    }

    static void close(List<OpenFlow> flows) {
        flows.forEach(flow -> InetSocket.close(flow.descriptor));
    }
}
