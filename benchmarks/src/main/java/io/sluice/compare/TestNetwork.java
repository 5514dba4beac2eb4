package io.sluice.compare;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * A client, one node per contestant and an endpoint as network namespaces, joined by veth pairs. Because every
 * contestant has its own node, kernel rules of one do not slow down another, and all stay running and warm while others
 * are measured.
 */
final class TestNetwork implements AutoCloseable {
    static final int HTTP = 8000;
    static final int BULK = 5201;
    static final int PING = 11111;
    static final int QUERY = 5300;
    static final int FLOOD = 5301;
    private static final Pattern OWN_NAMESPACES = Pattern.compile("sluice-compare-(\\d+)-\\w+");
    private static final String PREFIX =
            "sluice-compare-" + ProcessHandle.current().pid() + "-";
    private static final int CLIENT_ADDRESSES = 4;

    /** The addresses on the path from the client to the endpoint through one node. */
    record Lane(int number) {
        String node() {
            return PREFIX + "node" + number;
        }

        String clientNetwork() {
            return "198.18." + (10 + number) + ".0/24";
        }

        String client(int n) {
            return "198.18." + (10 + number) + "." + (2 + n);
        }

        String clients() {
            List<String> all = new ArrayList<>();
            for (int i = 0; i < CLIENT_ADDRESSES; i++) {
                all.add(client(i));
            }
            return String.join(",", all);
        }

        String nodeToClient() {
            return "198.18." + (10 + number) + ".1";
        }

        String nodeToEndpoint() {
            return "198.18." + (20 + number) + ".1";
        }

        String endpoint() {
            return "198.18." + (20 + number) + ".2";
        }

        /** The address that clients connect to. */
        String service() {
            return "198.18." + (30 + number) + ".1";
        }
    }

    private final CommandRunner commands;
    private final @Nullable ClientCgroup cgroup;
    private final List<Lane> lanes = new ArrayList<>();
    private final BufferedReader responses;
    private final PrintWriter requests;

    /** @param hasCgroup whether clients are in a cgroup of their own */
    TestNetwork(CommandRunner commands, int nodes, boolean hasCgroup) throws IOException, InterruptedException {
        this.commands = commands;
        remove(commands);
        cgroup = hasCgroup ? ClientCgroup.create(commands) : null;
        addNamespace("client");
        addNamespace("endpoint");
        for (int i = 0; i < nodes; i++) {
            lanes.add(new Lane(i));
            addLane(lanes.get(i));
        }
        startEndpoint();
        Process load = commands.start(new ProcessBuilder(
                        client(CommandRunner.java(LoadGenerator.class, "-Xms256m", "-Xmx256m", "-XX:+UseSerialGC")))
                .redirectError(commands.directory().resolve("load.log").toFile()));
        responses = load.inputReader(StandardCharsets.UTF_8);
        requests = new PrintWriter(load.outputWriter(StandardCharsets.UTF_8), true);
    }

    private static String client() {
        return PREFIX + "client";
    }

    /** The command line that runs a command as a client. */
    private List<String> client(List<String> command) {
        List<String> all = in(client(), command);
        return cgroup == null ? all : cgroup.enter(all);
    }

    /** Runs a program as a client and returns its output. */
    String inClient(List<String> command) throws IOException, InterruptedException {
        return commands.run(client(command));
    }

    String inClient(String line) throws IOException, InterruptedException {
        return inClient(List.of(line.split(" ")));
    }

    ClientCgroup cgroup() {
        return Objects.requireNonNull(cgroup);
    }

    private static String endpoint() {
        return PREFIX + "endpoint";
    }

    Lane lane(int number) {
        return lanes.get(number);
    }

    private void addNamespace(String name) throws IOException, InterruptedException {
        commands.run("ip netns add " + PREFIX + name);
        in(PREFIX + name, "ip link set lo up");
        in(
                PREFIX + name,
                "sysctl -qw net.ipv4.tcp_tw_reuse=1 net.ipv4.ip_local_port_range=1024\t65535 net.core.somaxconn=8192"
                        + " net.ipv4.tcp_max_syn_backlog=16384");
    }

    private void addLane(Lane lane) throws IOException, InterruptedException {
        String name = "node" + lane.number;
        addNamespace(name);
        in(lane.node(), "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0");
        join(client(), "eth" + lane.number, lane.client(0), lane.node(), "front", lane.nodeToClient());
        join(endpoint(), "eth" + lane.number, lane.endpoint(), lane.node(), "back", lane.nodeToEndpoint());
        for (int i = 1; i < CLIENT_ADDRESSES; i++) {
            in(client(), "ip addr add " + lane.client(i) + "/24 dev eth" + lane.number);
        }
        in(client(), "ip route add " + lane.service() + " via " + lane.nodeToClient());
        in(client(), "ip route add " + lane.endpoint() + " via " + lane.nodeToClient());
        in(endpoint(), "ip route add " + lane.clientNetwork() + " via " + lane.nodeToEndpoint());
    }

    private void join(String one, String device, String address, String other, String otherDevice, String otherAddress)
            throws IOException, InterruptedException {
        commands.run(
                "ip link add %s netns %s type veth peer name %s netns %s".formatted(device, one, otherDevice, other));
        in(one, "ip addr add " + address + "/24 dev " + device);
        in(one, "ip link set " + device + " up");
        in(other, "ip addr add " + otherAddress + "/24 dev " + otherDevice);
        in(other, "ip link set " + otherDevice + " up");
    }

    private void startEndpoint() throws IOException {
        Path nginx = commands.file("endpoint.conf", """
                worker_processes auto;
                worker_rlimit_nofile 20000;
                daemon off;
                pid endpoint.pid;
                error_log endpoint-error.log;
                events { worker_connections 18000; }
                http {
                  access_log off;
                  keepalive_requests 1000000000;
                  keepalive_timeout 600s;
                  client_header_timeout 600s;
                  server {
                    listen 8000 reuseport backlog=8192;
                    location / { return 200 "%s"; }
                  }
                }
                """.formatted("0123456789abcdef".repeat(8)));
        start(endpoint(), "endpoint", List.of("nginx", "-p", commands.directory() + "/", "-c", nginx.toString()));
        start(endpoint(), "iperf3", List.of("iperf3", "-s", "-p", "" + BULK));
        start(endpoint(), "sockperf", List.of("sockperf", "server", "-p", "" + PING));
        List<String> echo = CommandRunner.java(UdpEcho.class, "-Xms64m", "-Xmx64m", "-XX:+UseSerialGC");
        echo.addAll(List.of("" + QUERY, "" + FLOOD));
        start(endpoint(), "echo", echo);
    }

    Process start(String namespace, String name, List<String> command) throws IOException {
        return commands.start(commands.directory().resolve(name + ".log"), in(namespace, command));
    }

    String in(String namespace, String line) throws IOException, InterruptedException {
        return commands.run(in(namespace, List.of(line.split(" "))));
    }

    private static List<String> in(String namespace, List<String> command) {
        List<String> all = new ArrayList<>(List.of("ip", "netns", "exec", namespace));
        all.addAll(command);
        return all;
    }

    /**
     * Sends a command to the {@link LoadGenerator} in the client's namespace and returns the numbers of its response.
     */
    double[] load(String line) throws IOException {
        requests.println(line);
        String answer = responses.readLine();
        if (answer == null || !answer.startsWith("ok")) {
            throw new IOException(line + ": " + answer);
        }
        String[] words = answer.split(" ");
        double[] numbers = new double[words.length - 1];
        for (int i = 0; i < numbers.length; i++) {
            numbers[i] = Double.parseDouble(words[i + 1]);
        }
        return numbers;
    }

    /**
     * The SYNs retransmitted so far by clients and by the node. If the number rises during a measurement, the test
     * network was overloaded.
     */
    long synRetransmits(Lane lane) throws IOException, InterruptedException {
        return counter(client(), "TcpExtTCPSynRetrans") + counter(lane.node(), "TcpExtTCPSynRetrans");
    }

    /** The connections that processes on the node have accepted so far. */
    long accepted(Lane lane) throws IOException, InterruptedException {
        return counter(lane.node(), "TcpPassiveOpens");
    }

    private long counter(String namespace, String name) throws IOException, InterruptedException {
        Matcher matcher = Pattern.compile(name + "\\s+(\\d+)").matcher(in(namespace, "nstat -asz " + name));
        return matcher.find() ? Long.parseLong(matcher.group(1)) : 0;
    }

    /** Removes the namespaces of this run and of runs whose process has ended. */
    private static void remove(CommandRunner commands) throws IOException, InterruptedException {
        for (String line : commands.run("ip netns list").lines().toList()) {
            String name = line.split(" ")[0];
            Matcher matcher = OWN_NAMESPACES.matcher(name);
            if (matcher.matches() && (name.startsWith(PREFIX) || !isRunning(matcher.group(1)))) {
                for (String pid : commands.run("ip netns pids " + name).lines().toList()) {
                    ProcessHandle.of(Long.parseLong(pid)).ifPresent(ProcessHandle::destroyForcibly);
                }
                commands.run("ip netns del " + name);
            }
        }
        ClientCgroup.remove(commands);
    }

    static boolean isRunning(String pid) {
        return ProcessHandle.of(Long.parseLong(pid)).isPresent();
    }

    /** Removes the namespaces of this run, after everything else was closed. */
    static void cleanUp(Path directory) throws IOException, InterruptedException {
        try (CommandRunner commands = new CommandRunner(directory)) {
            remove(commands);
        }
    }

    @Override
    public void close() throws IOException {
        requests.close();
        responses.close();
    }
}
