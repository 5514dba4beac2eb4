package io.sluice.daemon;

import static java.util.Objects.requireNonNull;
import static org.awaitility.Awaitility.await;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Nodes with their pods, and clients outside, as network namespaces of this machine, joined by veth pairs. Of a node's pods
 * one is routed and two are on a bridge; the second node's are called as the first's with a 2 behind. Both families. All
 * addresses are inside the namespaces; what a killed run left behind is removed first.
 */
final class NodeLab implements AutoCloseable {
    private static final Pattern OURS = Pattern.compile("sluice-it-(\\d+)-\\w+");
    private static final String PREFIX = "sluice-it-" + ProcessHandle.current().pid() + "-";

    /** What a feed says of the nodes. */
    static final String NODES = node(1, "10.244.0.0/22, 'fd00:10::/46'") + node(2, "10.244.4.0/22, 'fd00:10:4::/46'");

    /** The addresses of {@link #endpointsBehindALink}. */
    static final List<String> BEHIND_THE_LINK = List.of("198.18.1.2", "198.18.1.3");

    private final Map<String, Process> probes = new LinkedHashMap<>();
    private final Map<String, BufferedReader> answers = new LinkedHashMap<>();
    private final Map<String, PrintWriter> questions = new LinkedHashMap<>();
    private final Map<String, List<String>> addresses = new LinkedHashMap<>();
    private final Map<String, String> owners = new LinkedHashMap<>();

    private NodeLab() throws IOException {
        remove();
    }

    /**
     * One node, a pod that is far from it, behind something that answers as another node would, and outside clients: one is
     * behind the other, over a narrower link.
     */
    static NodeLab oneNode() throws IOException {
        NodeLab lab = new NodeLab();
        lab.node("", 0);
        lab.namespace("far");
        join("node", "v-far", "far", "eth0");
        lab.address("node", "v-far", "192.0.2.1/24", "2001:db8:2::1/64");
        lab.address("far", "eth0", "192.0.2.9/24", "2001:db8:2::9/64");
        route("far", "default", "192.0.2.1", "2001:db8:2::1");
        lab.address("far", "lo", "10.244.9.20/32", "fd00:10:9::20/128");
        route("node", "10.244.9.0/24", "192.0.2.9", "");
        route("node", "fd00:10:9::/64", "", "2001:db8:2::9");
        lab.outside();
        lab.behind();
        lab.known("node", "192.0.2.1", "2001:db8:2::1");
        lab.start();
        return lab;
    }

    /** Two nodes side by side, and a client outside that is next to both; for what is not the second's it asks the first. */
    static NodeLab twoNodes() throws IOException {
        NodeLab lab = new NodeLab();
        lab.node("", 0);
        lab.node("2", 4);
        join("node", "v-node2", "node2", "v-node");
        lab.address("node", "v-node2", "192.0.2.1/24", "2001:db8:2::1/64");
        lab.address("node2", "v-node", "192.0.2.2/24", "2001:db8:2::2/64");
        route("node", "10.244.4.0/22", "192.0.2.2", "");
        route("node", "fd00:10:4::/46", "", "2001:db8:2::2");
        route("node2", "10.244.0.0/22", "192.0.2.1", "");
        route("node2", "fd00:10::/46", "", "2001:db8:2::1");
        lab.outside();
        join("node2", "v-out", "out", "eth1");
        lab.address("node2", "v-out", "198.51.101.1/24", "2001:db8:52::1/64");
        lab.address("out", "eth1", "198.51.101.7/24", "2001:db8:52::7/64");
        route("node2", "default", "198.51.101.7", "2001:db8:52::7");
        route("out", "192.0.2.2/32", "198.51.101.1", "");
        route("out", "2001:db8:2::2/128", "", "2001:db8:52::1");
        lab.known("node", "192.0.2.1", "2001:db8:2::1");
        lab.known("node2", "192.0.2.2", "2001:db8:2::2");
        lab.known("out", "198.51.100.7", "2001:db8:51::7");
        lab.start();
        return lab;
    }

    /**
     * A node that has the addresses of Services itself, with clients on one link and endpoints on another.
     *
     * @param services their addresses
     */
    static NodeLab endpointsBehindALink(String... services) throws IOException {
        NodeLab lab = new NodeLab();
        lab.namespace("node");
        lab.namespace("out");
        lab.namespace("far");
        join("node", "v-out", "out", "eth0");
        join("node", "v-far", "far", "eth0");
        in("node", "ip addr add 198.18.2.1/24 dev v-out");
        in("out", "ip addr add 198.18.2.2/24 dev eth0");
        in("node", "ip addr add 198.18.1.1/24 dev v-far");
        for (String endpoint : BEHIND_THE_LINK) {
            in("far", "ip addr add " + endpoint + "/24 dev eth0");
        }
        for (String service : services) {
            in("node", "ip addr add " + service + "/32 dev lo");
        }
        in("node", "sysctl -qw net.ipv4.ip_forward=1");
        route("out", "default", "198.18.2.1", "");
        route("far", "default", "198.18.1.1", "");
        lab.start();
        return lab;
    }

    private static String node(int number, String podCidrs) {
        return """
                ---
                apiVersion: v1
                kind: Node
                metadata: {name: n%1$d, labels: {topology.kubernetes.io/zone: zone-n%1$d}}
                spec: {podCIDRs: [%2$s]}
                status: {addresses: [{type: InternalIP, address: 192.0.2.%1$d}, {type: InternalIP, address: '2001:db8:2::%1$d'}]}
                """.formatted(number, podCidrs);
    }

    private void namespace(String name) throws IOException {
        sh("ip netns add " + PREFIX + name);
        in(name, "ip link set lo up");
        addresses.put(name, List.of());
    }

    private static void join(String one, String device, String other, String otherDevice) throws IOException {
        sh("ip link add " + device + " netns " + PREFIX + one + " type veth peer name " + otherDevice + " netns "
                + PREFIX + other);
        up(one, device);
        up(other, otherDevice);
    }

    private static void up(String name, String device) throws IOException {
        // Addresses are used at once; there is nobody here who could have the same.
        in(name, "sysctl -qw net.ipv6.conf." + device + ".accept_dad=0");
        in(name, "ip link set " + device + " up");
    }

    private void address(String name, String device, String v4, String v6) throws IOException {
        in(name, "ip addr add " + v4 + " dev " + device);
        in(name, "ip -6 addr add " + v6 + " dev " + device);
        known(name, v4.replaceFirst("/.*", ""), v6.replaceFirst("/.*", ""));
    }

    private void known(String name, String v4, String v6) {
        addresses.put(name, List.of(v4, v6));
        owners.put(v4, name);
        owners.put(v6, name);
    }

    /** An empty gateway: not in that family. */
    private static void route(String name, String to, String v4, String v6) throws IOException {
        if (!v4.isEmpty()) {
            in(name, "ip route add " + to + " via " + v4);
        }
        if (!v6.isEmpty()) {
            in(name, "ip -6 route add " + to + " via " + v6);
        }
    }

    /** The third part of its pods' addresses begins where it is told to. */
    private void node(String suffix, int third) throws IOException {
        String node = "node" + suffix;
        namespace(node);
        in(node, "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        // The kernel tells a peer only now and then that a port is unreachable; here one asks often.
        in(node, "sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0");
        for (String pod : List.of("pod", "one", "two")) {
            namespace(pod + suffix);
            join(node, "v-" + pod, pod + suffix, "eth0");
        }
        routedPod(node, "pod" + suffix, third + 1);
        bridge(node, List.of("one" + suffix, "two" + suffix), third + 2);
    }

    private void routedPod(String node, String pod, int third) throws IOException {
        String v4 = "10.244." + third + ".10/32";
        String v6 = "fd00:10:" + third + "::10/128";
        address(pod, "eth0", v4, v6);
        address(node, "v-pod", "169.254.1.1/32", "fe80::1/64");
        in(node, "ip route add " + v4 + " dev v-pod");
        in(node, "ip -6 route add " + v6 + " dev v-pod");
        in(pod, "ip route add 169.254.1.1 dev eth0 scope link");
        in(pod, "ip route add default via 169.254.1.1");
        in(pod, "ip -6 route add default via fe80::1 dev eth0");
    }

    private void bridge(String node, List<String> pods, int third) throws IOException {
        String v4 = "10.244." + third + ".1";
        String v6 = "fd00:10:" + third + "::1";
        in(node, "ip link add cni0 type bridge");
        up(node, "cni0");
        address(node, "cni0", v4 + "/24", v6 + "/64");
        for (String pod : pods) {
            in(node, "ip link set v-" + pod.substring(0, 3) + " master cni0");
            int last = 1 + pods.indexOf(pod);
            address(pod, "eth0", v4 + last + "/24", v6 + last + "/64");
            route(pod, "default", v4, v6);
        }
    }

    private void outside() throws IOException {
        namespace("out");
        join("node", "v-out", "out", "eth0");
        address("node", "v-out", "198.51.100.1/24", "2001:db8:51::1/64");
        address("out", "eth0", "198.51.100.200/24", "2001:db8:51::200/64");
        known("stranger", "198.51.100.200", "2001:db8:51::200");
        address("out", "eth0", "198.51.100.7/24", "2001:db8:51::7/64");
        route("out", "default", "198.51.100.1", "2001:db8:51::1");
        // A node needs some route for the addresses that its own processes dial.
        route("node", "default", "198.51.100.7", "2001:db8:51::7");
    }

    /** It claims to take larger packets than its link does, so that only the router before it can tell. */
    private void behind() throws IOException {
        namespace("behind");
        join("out", "v-behind", "behind", "eth0");
        in("out", "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        in("out", "ip link set v-behind mtu 1280");
        in("behind", "ip link set eth0 mtu 1280");
        in("out", "ip addr add 198.18.1.1/24 dev v-behind");
        in("out", "ip -6 addr add 2001:db8:18::1/64 dev v-behind");
        in("behind", "ip addr add 198.18.1.7/24 dev eth0");
        in("behind", "ip -6 addr add 2001:db8:18::7/64 dev eth0");
        in("behind", "ip route add default via 198.18.1.1 advmss 1460");
        in("behind", "ip -6 route add default via 2001:db8:18::1 advmss 1440");
    }

    private void start() throws IOException {
        for (String name : addresses.keySet()) {
            if (!name.equals("stranger")) {
                probe(name);
            }
        }
    }

    /** Who is where, by family: of the nodes the addresses that a cluster knows. */
    Map<String, List<String>> addresses() {
        return Map.copyOf(addresses);
    }

    /** Whose an address is; the nodes have several. */
    String owner(String address) {
        return owners.getOrDefault(address, address);
    }

    /** The name by which the cluster knows where a pod is. */
    static String nodeName(String pod) {
        return pod.endsWith("2") || pod.startsWith("far") ? "n2" : "n1";
    }

    /** Starts the daemon on a node, and waits until what its feed says is in force. */
    static Sluice sluice(Path folder, String node, String... args) throws IOException {
        return inForce(launch(folder, node, args));
    }

    private static Sluice inForce(Sluice started) {
        // With the rules in force, which come after the listeners.
        await().atMost(Duration.ofSeconds(30)).until(() -> started.err().contains("synced: "));
        return started;
    }

    /** The feed is {@code feed.yaml} in the folder. */
    static Sluice launch(Path folder, String node, String... args) throws IOException {
        return launch(folder, node, Map.of(), args);
    }

    static Sluice launch(Path folder, String node, Map<String, String> environment, String... args) throws IOException {
        return launch(folder, node, exec(node), environment, args);
    }

    /** @param enter the command that runs another one on that node */
    static Sluice launch(Path folder, String node, List<String> enter, Map<String, String> environment, String... args)
            throws IOException {
        List<String> options = new ArrayList<>(List.of("--mode=node", "--metrics-bind-address=off"));
        options.addAll(List.of(args));
        return start(folder, node, enter, environment, options);
    }

    /** Starts the daemon in bind mode on a node that has the Services' addresses, and waits until it serves them. */
    static Sluice bound(Path folder, String node, String... args) throws IOException {
        List<String> options = new ArrayList<>(List.of("--mode=bind"));
        options.addAll(List.of(args));
        return inForce(start(folder, node, exec(node), Map.of(), options));
    }

    private static Sluice start(
            Path folder, String node, List<String> enter, Map<String, String> environment, List<String> options)
            throws IOException {
        List<String> command = new ArrayList<>(enter);
        command.addAll(List.of(
                Sluice.HOME.resolve("bin/sluice").toString(),
                "run",
                "--feed=" + folder.resolve("feed.yaml"),
                "--node-name=" + nodeName(node),
                "--healthz-bind-address=off",
                "--loops=1"));
        command.addAll(options);
        return Sluice.start(
                folder,
                Path.of(command.get(0)),
                environment,
                command.subList(1, command.size()).toArray(String[]::new));
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

    /** How to run something in a namespace with the /sys of this one. */
    static List<String> execWithForeignSys(String name) {
        return List.of("nsenter", "--net=/run/netns/" + PREFIX + name);
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
