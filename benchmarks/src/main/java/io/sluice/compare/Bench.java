package io.sluice.compare;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A client, nodes and a backend as network namespaces, joined by veth pairs. Every contestant has a node of its own, so
 * that nobody pays for another's rules in the kernel, and all can stay up, warm, while others are measured.
 */
final class Bench implements AutoCloseable {
    static final int HTTP = 8000;
    static final int BULK = 5201;
    static final int PING = 11111;
    static final int QUERY = 5300;
    static final int FLOOD = 5301;
    private static final Pattern OURS = Pattern.compile("sluice-compare-(\\d+)-\\w+");
    private static final String PREFIX =
            "sluice-compare-" + ProcessHandle.current().pid() + "-";
    private static final int CLIENT_ADDRESSES = 4;

    /** The way from the client to the backend over one node. */
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

        String nodeToBackend() {
            return "198.18." + (20 + number) + ".1";
        }

        String backend() {
            return "198.18." + (20 + number) + ".2";
        }

        /** What clients dial. */
        String service() {
            return "198.18." + (30 + number) + ".1";
        }
    }

    private final Shell shell;
    private final List<Lane> lanes = new ArrayList<>();
    private final BufferedReader answers;
    private final PrintWriter questions;

    Bench(Shell shell, int nodes) throws IOException, InterruptedException {
        this.shell = shell;
        remove(shell);
        addNamespace("client");
        addNamespace("backend");
        for (int i = 0; i < nodes; i++) {
            lanes.add(new Lane(i));
            addLane(lanes.get(i));
        }
        startBackend();
        Process load = shell.start(
                new ProcessBuilder(in(client(), Shell.java(Load.class, "-Xms256m", "-Xmx256m", "-XX:+UseSerialGC")))
                        .redirectError(shell.folder().resolve("load.log").toFile()));
        answers = load.inputReader(StandardCharsets.UTF_8);
        questions = new PrintWriter(load.outputWriter(StandardCharsets.UTF_8), true);
    }

    static String client() {
        return PREFIX + "client";
    }

    private static String backend() {
        return PREFIX + "backend";
    }

    Lane lane(int number) {
        return lanes.get(number);
    }

    private void addNamespace(String name) throws IOException, InterruptedException {
        shell.run("ip netns add " + PREFIX + name);
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
        join(backend(), "eth" + lane.number, lane.backend(), lane.node(), "back", lane.nodeToBackend());
        for (int i = 1; i < CLIENT_ADDRESSES; i++) {
            in(client(), "ip addr add " + lane.client(i) + "/24 dev eth" + lane.number);
        }
        in(client(), "ip route add " + lane.service() + " via " + lane.nodeToClient());
        in(client(), "ip route add " + lane.backend() + " via " + lane.nodeToClient());
        in(backend(), "ip route add " + lane.clientNetwork() + " via " + lane.nodeToBackend());
    }

    private void join(String one, String device, String address, String other, String otherDevice, String otherAddress)
            throws IOException, InterruptedException {
        shell.run("ip link add %s netns %s type veth peer name %s netns %s".formatted(device, one, otherDevice, other));
        in(one, "ip addr add " + address + "/24 dev " + device);
        in(one, "ip link set " + device + " up");
        in(other, "ip addr add " + otherAddress + "/24 dev " + otherDevice);
        in(other, "ip link set " + otherDevice + " up");
    }

    private void startBackend() throws IOException {
        Path nginx = shell.file("backend.conf", """
                worker_processes auto;
                worker_rlimit_nofile 20000;
                daemon off;
                pid backend.pid;
                error_log backend-error.log;
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
        start(backend(), "backend", List.of("nginx", "-p", shell.folder() + "/", "-c", nginx.toString()));
        start(backend(), "iperf3", List.of("iperf3", "-s", "-p", "" + BULK));
        start(backend(), "sockperf", List.of("sockperf", "server", "-p", "" + PING));
        List<String> echo = Shell.java(Echo.class, "-Xms64m", "-Xmx64m", "-XX:+UseSerialGC");
        echo.addAll(List.of("" + QUERY, "" + FLOOD));
        start(backend(), "echo", echo);
    }

    Process start(String namespace, String name, List<String> command) throws IOException {
        return shell.start(shell.folder().resolve(name + ".log"), in(namespace, command));
    }

    String in(String namespace, String line) throws IOException, InterruptedException {
        return shell.run(in(namespace, List.of(line.split(" "))));
    }

    static List<String> in(String namespace, List<String> command) {
        List<String> all = new ArrayList<>(List.of("ip", "netns", "exec", namespace));
        all.addAll(command);
        return all;
    }

    /** What our own load in the client's namespace answers: a word, then numbers. */
    double[] load(String line) throws IOException {
        questions.println(line);
        String answer = answers.readLine();
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

    /** SYNs sent again so far, by clients and by the node: if there are more later, the bench was at its end. */
    long synRetransmits(Lane lane) throws IOException, InterruptedException {
        return counter(client()) + counter(lane.node());
    }

    private long counter(String namespace) throws IOException, InterruptedException {
        Matcher matcher = Pattern.compile("TcpExtTCPSynRetrans\\s+(\\d+)")
                .matcher(in(namespace, "nstat -asz TcpExtTCPSynRetrans"));
        return matcher.find() ? Long.parseLong(matcher.group(1)) : 0;
    }

    /** Our own namespaces, and those of runs that are over. */
    private static void remove(Shell shell) throws IOException, InterruptedException {
        for (String line : shell.run("ip netns list").lines().toList()) {
            String name = line.split(" ")[0];
            Matcher matcher = OURS.matcher(name);
            if (matcher.matches() && (name.startsWith(PREFIX) || !isRunning(matcher.group(1)))) {
                for (String pid : shell.run("ip netns pids " + name).lines().toList()) {
                    ProcessHandle.of(Long.parseLong(pid)).ifPresent(ProcessHandle::destroyForcibly);
                }
                shell.run("ip netns del " + name);
            }
        }
    }

    static boolean isRunning(String pid) {
        return ProcessHandle.of(Long.parseLong(pid)).isPresent();
    }

    /** For the end, when everything is closed already. */
    static void cleanUp(Path folder) throws IOException, InterruptedException {
        try (Shell shell = new Shell(folder)) {
            remove(shell);
        }
    }

    @Override
    public void close() throws IOException {
        questions.close();
        answers.close();
    }
}
