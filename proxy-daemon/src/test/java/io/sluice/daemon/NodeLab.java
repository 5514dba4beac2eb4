package io.sluice.daemon;

import static java.util.Objects.requireNonNull;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A node, its pods, a far node and outside clients as network namespaces of this machine, joined by veth pairs: one pod is
 * routed, two are on a bridge; of the clients one is behind the other, over a narrower link. Both families. All addresses are inside the namespaces; what a killed run left
 * behind is removed first.
 */
final class NodeLab implements AutoCloseable {
    private static final Pattern OURS = Pattern.compile("sluice-it-(\\d+)-\\w+");
    private static final String PREFIX = "sluice-it-" + ProcessHandle.current().pid() + "-";
    static final List<String> NAMES = List.of("node", "pod", "one", "two", "far", "out");

    private final Map<String, Process> probes = new LinkedHashMap<>();
    private final Map<String, BufferedReader> answers = new LinkedHashMap<>();
    private final Map<String, PrintWriter> questions = new LinkedHashMap<>();

    NodeLab() throws IOException {
        remove();
        for (String name : NAMES) {
            sh("ip netns add " + PREFIX + name);
            in(name, "ip link set lo up");
        }
        in("node", "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        // The kernel tells a peer only now and then that a port is unreachable; here one asks often.
        in("node", "sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0");
        for (String name : NAMES.subList(1, NAMES.size())) {
            sh("ip link add v-" + name + " netns " + PREFIX + "node type veth peer name eth0 netns " + PREFIX + name);
            // Addresses are used at once; there is nobody here who could have the same.
            in("node", "sysctl -qw net.ipv6.conf.v-" + name + ".accept_dad=0");
            in(name, "sysctl -qw net.ipv6.conf.eth0.accept_dad=0");
            in("node", "ip link set v-" + name + " up");
            in(name, "ip link set eth0 up");
        }
        routedPod();
        bridge();
        network("far", "192.0.2", "2001:db8:2", 9);
        in("far", "ip addr add 10.244.9.20/32 dev lo");
        in("far", "ip -6 addr add fd00:10:9::20/128 dev lo");
        in("node", "ip route add 10.244.9.0/24 via 192.0.2.9");
        in("node", "ip -6 route add fd00:10:9::/64 via 2001:db8:2::9");
        network("out", "198.51.100", "2001:db8:51", 7);
        in("out", "ip addr add 198.51.100.200/24 dev eth0");
        in("out", "ip -6 addr add 2001:db8:51::200/64 dev eth0");
        // The node needs some route for the addresses that its own processes dial.
        in("node", "ip route add default via 198.51.100.7");
        in("node", "ip -6 route add default via 2001:db8:51::7");
        behind();
        for (String name : NAMES) {
            probe(name);
        }
        probe("behind");
    }

    /** It claims to take larger packets than its link does, so that only the router before it can tell. */
    private void behind() throws IOException {
        sh("ip netns add " + PREFIX + "behind");
        in("behind", "ip link set lo up");
        sh("ip link add v-behind netns " + PREFIX + "out mtu 1280 type veth peer name eth0 netns " + PREFIX + "behind");
        in(
                "out",
                "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.v-behind.accept_dad=0");
        in("behind", "sysctl -qw net.ipv6.conf.eth0.accept_dad=0");
        in("out", "ip link set v-behind up");
        in("behind", "ip link set eth0 mtu 1280 up");
        in("out", "ip addr add 198.18.1.1/24 dev v-behind");
        in("out", "ip -6 addr add 2001:db8:18::1/64 dev v-behind");
        in("behind", "ip addr add 198.18.1.7/24 dev eth0");
        in("behind", "ip -6 addr add 2001:db8:18::7/64 dev eth0");
        in("behind", "ip route add default via 198.18.1.1 advmss 1460");
        in("behind", "ip -6 route add default via 2001:db8:18::1 advmss 1440");
    }

    private void routedPod() throws IOException {
        in("pod", "ip addr add 10.244.1.10/32 dev eth0");
        in("pod", "ip -6 addr add fd00:10:1::10/128 dev eth0");
        in("node", "ip addr add 169.254.1.1/32 dev v-pod");
        in("node", "ip -6 addr add fe80::1/64 dev v-pod");
        in("node", "ip route add 10.244.1.10/32 dev v-pod");
        in("node", "ip -6 route add fd00:10:1::10/128 dev v-pod");
        in("pod", "ip route add 169.254.1.1 dev eth0 scope link");
        in("pod", "ip route add default via 169.254.1.1");
        in("pod", "ip -6 route add default via fe80::1 dev eth0");
    }

    private void bridge() throws IOException {
        in("node", "ip link add cni0 type bridge");
        in("node", "sysctl -qw net.ipv6.conf.cni0.accept_dad=0");
        in("node", "ip addr add 10.244.2.1/24 dev cni0");
        in("node", "ip -6 addr add fd00:10:2::1/64 dev cni0");
        in("node", "ip link set cni0 up");
        int last = 11;
        for (String name : List.of("one", "two")) {
            in("node", "ip link set v-" + name + " master cni0");
            in(name, "ip addr add 10.244.2." + last + "/24 dev eth0");
            in(name, "ip -6 addr add fd00:10:2::" + last + "/64 dev eth0");
            in(name, "ip route add default via 10.244.2.1");
            in(name, "ip -6 route add default via fd00:10:2::1");
            last++;
        }
    }

    private void network(String name, String v4, String v6, int last) throws IOException {
        in("node", "ip addr add " + v4 + ".1/24 dev v-" + name);
        in("node", "ip -6 addr add " + v6 + "::1/64 dev v-" + name);
        in(name, "ip addr add " + v4 + "." + last + "/24 dev eth0");
        in(name, "ip -6 addr add " + v6 + "::" + last + "/64 dev eth0");
        in(name, "ip route add default via " + v4 + ".1");
        in(name, "ip -6 route add default via " + v6 + "::1");
    }

    private void probe(String name) throws IOException {
        Process process = new ProcessBuilder(
                        "ip",
                        "netns",
                        "exec",
                        PREFIX + name,
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-XX:+UseSerialGC",
                        "-Xmx32m",
                        "-cp",
                        Path.of("target/test-classes").toAbsolutePath().toString(),
                        NodeProbe.class.getName(),
                        name)
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        probes.put(name, process);
        answers.put(name, process.inputReader(StandardCharsets.UTF_8));
        questions.put(name, new PrintWriter(process.outputWriter(StandardCharsets.UTF_8), true));
    }

    /** What the probe in a namespace answers to a line. */
    String tell(String name, String line) throws IOException {
        requireNonNull(questions.get(name)).println(line);
        String answer = requireNonNull(answers.get(name)).readLine();
        if (answer == null) {
            throw new IOException("the probe in " + name + " has ended");
        }
        return answer;
    }

    /** Runs a command in a namespace, and returns what it printed. */
    static String in(String name, String command) throws IOException {
        return sh("ip netns exec " + PREFIX + name + " " + command);
    }

    /** How to run something in a namespace. */
    static List<String> exec(String name) {
        return List.of("ip", "netns", "exec", PREFIX + name);
    }

    private static String sh(String command) throws IOException {
        Process process = new ProcessBuilder("sh", "-c", command)
                .redirectErrorStream(true)
                .start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        try {
            if (!process.waitFor(20, TimeUnit.SECONDS) || process.exitValue() != 0) {
                throw new IOException(command + ": " + output);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", e);
        }
        return output;
    }

    /** Our own, and those of runs that are over. */
    private static void remove() throws IOException {
        for (String line : sh("ip netns list").lines().toList()) {
            String name = line.split(" ")[0];
            Matcher matcher = OURS.matcher(name);
            if (matcher.matches() && (name.startsWith(PREFIX) || !isRunning(matcher.group(1)))) {
                sh("ip netns pids " + name + " | xargs -r kill -9");
                sh("ip netns del " + name);
            }
        }
    }

    private static boolean isRunning(String pid) {
        return ProcessHandle.of(Long.parseLong(pid)).isPresent();
    }

    @Override
    public void close() throws IOException {
        for (Process probe : probes.values()) {
            probe.destroyForcibly();
        }
        remove();
    }
}
