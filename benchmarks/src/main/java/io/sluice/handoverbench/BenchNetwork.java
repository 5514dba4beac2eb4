package io.sluice.handoverbench;

import io.sluice.compare.CommandRunner;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * The addresses of clients, Services and endpoints. In bind mode, all are loopback addresses. In node mode, clients,
 * Sluice and endpoints have a network namespace each, joined by two veth pairs.
 */
final class BenchNetwork implements AutoCloseable {
    private static final int ENDPOINTS = 8;
    private static final int CLIENTS = 8;
    private static final int NEW_CLIENTS = 8;

    private final CommandRunner commands;
    private final boolean node;
    private final String prefix = "sluice-handover-" + ProcessHandle.current().pid() + "-";
    private final int port;

    BenchNetwork(CommandRunner commands, boolean node) throws IOException, InterruptedException {
        this.commands = commands;
        this.node = node;
        if (node) {
            port = 8_000;
            create();
        } else {
            // Of all frontends, only this address is likely to be in use by another process.
            byte[] loopback = new byte[16];
            loopback[15] = 1;
            try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getByAddress(loopback))) {
                port = free.getLocalPort();
            }
        }
    }

    int port() {
        return port;
    }

    private String network() {
        return node ? "198.18.1." : "127.98.1.";
    }

    List<String> clients() {
        return addresses(network(), 10, CLIENTS);
    }

    List<String> newClients() {
        return addresses(network(), 30, NEW_CLIENTS);
    }

    String client6() {
        return node ? "2001:db8:1::10" : "::1";
    }

    List<String> endpoints() {
        return addresses(node ? "198.18.2." : "127.98.2.", 10, ENDPOINTS);
    }

    String endpoint6() {
        return node ? "2001:db8:2::10" : "::1";
    }

    /** The address of a Service, by number. */
    String service(int number) {
        return (node ? "198.18.3." : "127.98.3.") + number;
    }

    String service6() {
        return node ? "2001:db8:3::1" : "::1";
    }

    private static List<String> addresses(String network, int first, int count) {
        return IntStream.range(first, first + count).mapToObj(i -> network + i).toList();
    }

    /** The flags of {@code sluice run} that depend on the network. */
    List<String> flags() {
        return node
                // Treats the client as a pod, so that endpoints see its address.
                ? List.of(
                        "--mode=node",
                        "--cluster-cidr=198.18.1.0/24,2001:db8:1::/64",
                        "--node-ip=198.18.1.1,2001:db8:1::1")
                : List.of("--mode=bind");
    }

    List<String> inClient(List<String> command) {
        return in("client", command);
    }

    List<String> inNode(List<String> command) {
        return in("node", command);
    }

    List<String> inEndpoint(List<String> command) {
        return in("endpoint", command);
    }

    private List<String> in(String namespace, List<String> command) {
        return node
                ? Stream.concat(Stream.of("ip", "netns", "exec", prefix + namespace), command.stream())
                        .toList()
                : command;
    }

    private void create() throws IOException, InterruptedException {
        for (String name : List.of("client", "node", "endpoint")) {
            commands.run("ip netns add " + prefix + name);
            run(name, "ip link set lo up");
            run(name, "sysctl -qw net.ipv4.ip_local_port_range=1024\t65535 net.core.somaxconn=8192");
            run(name, "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0");
        }
        run("node", "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0");
        join("client", 1);
        join("endpoint", 2);
        List<String> clients = new ArrayList<>(clients());
        clients.addAll(newClients());
        for (String address : clients) {
            run("client", "ip addr add " + address + "/24 dev eth0");
        }
        run("client", "ip addr add " + client6() + "/64 dev eth0 nodad");
        for (String address : endpoints()) {
            run("endpoint", "ip addr add " + address + "/24 dev eth0");
        }
        run("endpoint", "ip addr add " + endpoint6() + "/64 dev eth0 nodad");
    }

    private void join(String name, int subnet) throws IOException, InterruptedException {
        commands.run("ip link add eth0 netns %1$s%2$s type veth peer name eth%3$d netns %1$snode"
                .formatted(prefix, name, subnet));
        run("node", "ip addr add 198.18.%1$d.1/24 dev eth%1$d".formatted(subnet));
        run("node", "ip addr add 2001:db8:%1$d::1/64 dev eth%1$d nodad".formatted(subnet));
        run("node", "ip link set eth" + subnet + " up");
        run(name, "ip link set eth0 up");
        run(name, "ip addr add 198.18.%d.2/24 dev eth0".formatted(subnet));
        run(name, "ip addr add 2001:db8:%d::2/64 dev eth0 nodad".formatted(subnet));
        run(name, "ip route add default via 198.18.%d.1".formatted(subnet));
        run(name, "ip -6 route add default via 2001:db8:%d::1".formatted(subnet));
    }

    private void run(String namespace, String line) throws IOException, InterruptedException {
        commands.run(in(namespace, List.of(line.split(" "))));
    }

    /** Removes the namespaces, after the processes in them have ended. */
    @Override
    public void close() throws IOException {
        for (String name : node ? List.of("client", "node", "endpoint") : List.<String>of()) {
            try {
                if (new ProcessBuilder("ip", "netns", "del", prefix + name)
                                .start()
                                .waitFor()
                        != 0) {
                    System.err.println("handover: cannot remove the network namespace '" + prefix + name + "'");
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }
}
