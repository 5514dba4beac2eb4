package io.sluice.node;

import static java.util.Objects.requireNonNull;

import io.sluice.balance.AffinityTable;
import io.sluice.balance.Balancer;
import io.sluice.balance.FrontendRouting;
import io.sluice.balance.ServiceState;
import io.sluice.daemon.PacketTable;
import io.sluice.model.Endpoint;
import io.sluice.model.Family;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Origin;
import io.sluice.model.Protocol;
import io.sluice.model.ServiceSnapshot;
import io.sluice.node.PacketPath.Outcome;
import io.sluice.node.SimulatedHost.ListeningSocket;
import io.sluice.stats.Stats;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * Simulates the node of {@link PacketTable} with the rules of a snapshot, the sockets of the forwarder, and its choice of
 * endpoints.
 */
final class SimulatedNode {
    /** The source port of clients. */
    private static final int CLIENT_PORT = 40_000;
    /** A connection through more Services than this is in a loop. */
    private static final int MAX_CHAIN = 4;

    private final FakeKernel kernel;
    private final NodeRules rules;
    private final SimulatedHost host;
    private final Map<FrontendAddress, FrontendRouting> routings = new HashMap<>();
    private final ServiceSnapshot snapshot;
    private PacketPath path;

    SimulatedNode(ServiceSnapshot snapshot, KernelFeatures features) {
        this.snapshot = snapshot;
        kernel = new FakeKernel();
        rules = new NodeRules(RuleOptions.DEFAULT, rejected -> {}, kernel, features, () -> 0);
        rules.apply(snapshot);
        if (!kernel.rejected.isEmpty()) {
            throw new IllegalStateException("rejected: " + kernel.rejected.get(0));
        }
        Stats stats = new Stats(1);
        AffinityTable affinity = new AffinityTable();
        snapshot.forEach(port -> new ServiceState(stats.open(port.name()), affinity, change -> {})
                .update(port, this::originOf, Map.of(), 0)
                .forEach(routing -> routings.put(routing.frontend().address(), routing)));
        host = new SimulatedHost(localAddresses(), sockets());
        path = new PacketPath(kernel, host);
    }

    private SimulatedNode(SimulatedNode other) {
        kernel = other.kernel;
        rules = other.rules;
        snapshot = other.snapshot;
        host = new SimulatedHost(other.host.addresses(), processes());
        path = new PacketPath(kernel, host);
    }

    /** A node with the same rules, but without the sockets of the forwarder. */
    SimulatedNode killed() {
        return new SimulatedNode(this);
    }

    void load(String script) throws IOException {
        kernel.load(script);
        path = new PacketPath(kernel, host);
    }

    Outcome send(Packet packet) {
        return path.send(packet);
    }

    static List<IpAddress> interfaceAddresses() {
        List<IpAddress> all = new ArrayList<>();
        addressesOf("node").stream().map(SimulatedNode::ip).forEach(all::add);
        PacketTable.interfaces().values().forEach(each -> each.forEach(text -> all.add(ip(text))));
        return all;
    }

    private static Set<IpAddress> localAddresses() {
        return new HashSet<>(interfaceAddresses());
    }

    static IpAddress ip(String text) {
        return requireNonNull(IpAddress.parse(text), text);
    }

    static List<String> addressesOf(String name) {
        List<String> ofInterface = PacketTable.interfaces().get(name);
        return ofInterface != null ? ofInterface : requireNonNull(PacketTable.ADDRESSES.get(name), name);
    }

    /** Like the forwarder, treats all local addresses as the node, even if the snapshot does not have them. */
    private Origin originOf(IpAddress client) {
        Origin origin = snapshot.context().origins().of(client);
        return origin == Origin.EXTERNAL && host.isLocal(client) ? Origin.NODE : origin;
    }

    private List<ListeningSocket> sockets() {
        List<ListeningSocket> processes = processes();
        List<ListeningSocket> all = new ArrayList<>(processes);
        routings.forEach((address, routing) -> {
            int port = address.protocol() == Protocol.TCP
                    ? address.listeningPort(rules.flippedPortBits())
                    : address.port();
            if (routing.frontend().isListening() && isFree(address, port, processes)) {
                all.add(new ListeningSocket(address.protocol(), address.address(), port, address));
            }
        });
        return all;
    }

    /** Whether no process has the frontend's address and port, or the listener's port on all addresses. */
    private static boolean isFree(FrontendAddress address, int port, List<ListeningSocket> processes) {
        return processes.stream()
                .filter(each -> each.protocol() == address.protocol())
                .noneMatch(each -> each.address().isUnspecified()
                        ? each.port() == port
                        : each.port() == address.port() && each.address().equals(address.address()));
    }

    private static List<ListeningSocket> processes() {
        List<ListeningSocket> sockets = new ArrayList<>();
        for (String process : PacketTable.processes()) {
            String[] words = process.split(" ");
            for (Protocol protocol : Protocol.values()) {
                if (protocol == Protocol.TCP || words[0].equals("serve")) {
                    sockets.add(new ListeningSocket(protocol, ip(words[1]), Integer.parseInt(words[2]), null));
                }
            }
        }
        return sockets;
    }

    /**
     * The endpoints that answer a client, each with the host whose address it sees, such as {@code pod=one}; or
     * {@code REFUSED} or {@code DROP}.
     *
     * @param trace receives the rules that matched
     */
    Set<String> answers(String protocol, String family, String client, String destination, List<String> trace) {
        int index = family.equals("4") ? 0 : 1;
        String[] to = destination.split(":");
        IpAddress address = ip(addressesOf(to[0]).get(index));
        boolean ofNode = client.equals("node");
        Packet packet = new Packet(
                ofNode,
                Protocol.valueOf(protocol.toUpperCase(Locale.ROOT)),
                ofNode ? sourceFor(address, index) : ip(addressesOf(client).get(index)),
                CLIENT_PORT,
                address,
                Integer.parseInt(to[1]),
                0);
        Set<String> answers = new TreeSet<>();
        follow(packet, MAX_CHAIN, answers, trace);
        return answers;
    }

    /** The address that the kernel chooses for a process of the node. */
    private IpAddress sourceFor(IpAddress destination, int index) {
        return host.isLocal(destination) ? destination : ip(addressesOf("v-out").get(index));
    }

    private void follow(Packet packet, int maxChain, Set<String> answers, List<String> trace) {
        Outcome outcome = path.send(packet);
        trace.add(packet + ": " + outcome);
        switch (outcome.verdict()) {
            case REJECTED -> answers.add("REFUSED");
            case DROPPED -> answers.add("DROP");
            case PASSED -> answers.add(host(packet.destination()) + "=" + host(packet.source()));
            case FORWARD -> forward(packet, requireNonNull(outcome.socket()), maxChain, answers, trace);
        }
    }

    private String host(IpAddress address) {
        if (host.isLocal(address)) {
            return "node";
        }
        for (String name : List.of("pod", "one", "two", "far", "out", "stranger")) {
            if (addressesOf(name).contains(address.toString())) {
                return name;
            }
        }
        return address.toString();
    }

    private void forward(Packet packet, ListeningSocket socket, int maxChain, Set<String> answers, List<String> trace) {
        FrontendAddress address = requireNonNull(socket.frontend());
        boolean serves = address.port() == packet.destinationPort()
                && (address.address().isUnspecified() || address.address().equals(packet.destination()));
        if (!serves || maxChain == 0) {
            answers.add("MISDELIVERED to " + address);
            return;
        }
        FrontendRouting routing = requireNonNull(routings.get(address), address.toString());
        @Nullable Balancer balancer = routing.balancerFor(packet.source());
        if (balancer == null) {
            // The rules deliver a packet that the forwarder does not serve.
            answers.add("CLOSED by " + address);
            return;
        }
        balancer.forEach(target -> {
            Endpoint endpoint = target.endpoint;
            // A client that is the endpoint cannot reply to its own address.
            boolean preserves = routing.preservesClientAddress(packet.source())
                    && !endpoint.address().equals(packet.source());
            Packet next = new Packet(
                    true,
                    packet.protocol(),
                    preserves ? packet.source() : sourceFor(endpoint.address(), packet.family() == Family.IPV4 ? 0 : 1),
                    CLIENT_PORT + 1,
                    endpoint.address(),
                    endpoint.port(),
                    rules.priority(endpoint));
            follow(next, maxChain - 1, answers, trace);
        });
    }
}
