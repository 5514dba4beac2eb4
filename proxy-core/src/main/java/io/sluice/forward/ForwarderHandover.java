package io.sluice.forward;

import io.sluice.balance.BalancePosition;
import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.socket.InetSocket;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;

/**
 * What a forwarder gives to its successor in another process: its open sockets, on which clients wait meanwhile, and what
 * is needed to balance as if nothing had happened. TCP sessions stay where they are.
 *
 * <p>A value that can be written down, but the descriptors in it are open and belong to whoever holds it last.
 */
public record ForwarderHandover(List<Sockets> frontends, List<BalancePosition> services) {
    /** The sockets of a frontend: TCP ones listen, UDP ones have flows. */
    public record Sockets(FrontendAddress address, List<OpenSocket> sockets) {}

    /** One of them. */
    public record OpenSocket(int descriptor, List<OpenFlow> flows) {}

    /**
     * A UDP flow and its connected socket.
     *
     * @param ageNanos since its first datagram
     */
    public record OpenFlow(
            int descriptor,
            IpAddress client,
            int clientPort,
            Endpoint endpoint,
            long asked,
            long answered,
            long ageNanos) {}

    /** How much there is to hand over. */
    public record Size(int frontends, int descriptors) {}

    /** All descriptors, in the order in which {@link #withDescriptors} wants them. */
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

    /** The same with the numbers that the descriptors have in another process. */
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
        return new ForwarderHandover(renumbered, services);
    }

    /** How many UDP flows there are. */
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
