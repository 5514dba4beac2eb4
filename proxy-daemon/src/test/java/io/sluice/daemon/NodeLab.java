package io.sluice.daemon;

import static io.sluice.TestShell.sh;
import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
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
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Nodes with pods, and external clients, as network namespaces of this machine, joined by veth pairs, with IPv4 and
 * IPv6. Each node has one routed pod and two pods on a bridge; names on the second node end in 2. All addresses are
 * inside the namespaces. Namespaces that a killed run left are removed first.
 */
final class NodeLab implements AutoCloseable {
    private static final Pattern OWN_NAMESPACES = Pattern.compile("sluice-it-(\\d+)-\\w+");
    private static final String PREFIX = "sluice-it-" + ProcessHandle.current().pid() + "-";

    /** The manifests of the Nodes. */
    static final String NODES = node(1, "10.244.0.0/22, 'fd00:10::/46'") + node(2, "10.244.4.0/22, 'fd00:10:4::/46'");

    /** The addresses of {@link #endpointsBehindALink}. */
    static final List<String> BEHIND_THE_LINK = List.of("198.18.1.2", "198.18.1.3");

    private final Map<String, Process> probes = new LinkedHashMap<>();
    private final Map<String, BufferedReader> answers = new LinkedHashMap<>();
    private final Map<String, PrintWriter> requests = new LinkedHashMap<>();
    private final Map<String, List<String>> addresses = new LinkedHashMap<>();
    private final Map<String, String> owners = new LinkedHashMap<>();

    private NodeLab() throws IOException {
        remove();
    }

    /**
     * One node, a pod on another node, and two external clients: {@code out}, and {@code behind}, which is connected
     * through {@code out} over a link with a smaller MTU.
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
        lab.addExternalClient();
        lab.addNarrowLink();
        lab.register("node", "192.0.2.1", "2001:db8:2::1");
        lab.start();
        return lab;
    }

    /**
     * Two nodes on one link, and an external client with a link to both, which uses the first node as its default
     * gateway.
     */
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
        lab.addExternalClient();
        join("node2", "v-out", "out", "eth1");
        lab.address("node2", "v-out", "198.51.101.1/24", "2001:db8:52::1/64");
        lab.address("out", "eth1", "198.51.101.7/24", "2001:db8:52::7/64");
        route("node2", "default", "198.51.101.7", "2001:db8:52::7");
        route("out", "192.0.2.2/32", "198.51.101.1", "");
        route("out", "2001:db8:2::2/128", "", "2001:db8:52::1");
        lab.register("node", "192.0.2.1", "2001:db8:2::1");
        lab.register("node2", "192.0.2.2", "2001:db8:2::2");
        lab.register("out", "198.51.100.7", "2001:db8:51::7");
        lab.start();
        return lab;
    }

    /**
     * A node that has the addresses of Services on its loopback interface, with clients on one link and endpoints on
     * another.
     * @param services the addresses of the Services
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
        // Duplicate address detection would delay the use of addresses, which are unique here.
        in(name, "sysctl -qw net.ipv6.conf." + device + ".accept_dad=0");
        in(name, "ip link set " + device + " up");
    }

    private void address(String name, String device, String v4, String v6) throws IOException {
        in(name, "ip addr add " + v4 + " dev " + device);
        in(name, "ip -6 addr add " + v6 + " dev " + device);
        register(name, v4.replaceFirst("/.*", ""), v6.replaceFirst("/.*", ""));
    }

    private void register(String name, String v4, String v6) {
        addresses.put(name, List.of(v4, v6));
        owners.put(v4, name);
        owners.put(v6, name);
    }

    /** Adds a route in each family whose gateway is not empty. */
    private static void route(String name, String to, String v4, String v6) throws IOException {
        if (!v4.isEmpty()) {
            in(name, "ip route add " + to + " via " + v4);
        }
        if (!v6.isEmpty()) {
            in(name, "ip -6 route add " + to + " via " + v6);
        }
    }

    /** @param third the base of the third byte of the addresses of its pods */
    private void node(String suffix, int third) throws IOException {
        String node = "node" + suffix;
        namespace(node);
        in(node, "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        // Disable the kernel's limit of ICMP errors, since tests often probe unreachable ports.
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

    private void addExternalClient() throws IOException {
        namespace("out");
        join("node", "v-out", "out", "eth0");
        address("node", "v-out", "198.51.100.1/24", "2001:db8:51::1/64");
        address("out", "eth0", "198.51.100.200/24", "2001:db8:51::200/64");
        register("stranger", "198.51.100.200", "2001:db8:51::200");
        address("out", "eth0", "198.51.100.7/24", "2001:db8:51::7/64");
        route("out", "default", "198.51.100.1", "2001:db8:51::1");
        // Local processes can connect to Service addresses only if the node has a route for them.
        route("node", "default", "198.51.100.7", "2001:db8:51::7");
    }

    /**
     * Adds a client that announces a larger MSS than its link allows, so that path MTU discovery has to find the limit.
     */
    private void addNarrowLink() throws IOException {
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

    /** The IPv4 and IPv6 address of each namespace; for nodes, those of the Node object. */
    Map<String, List<String>> addresses() {
        return Map.copyOf(addresses);
    }

    /** Returns the name of the namespace that has an address, or the address if unknown. */
    String owner(String address) {
        return owners.getOrDefault(address, address);
    }

    /** Returns the name of the Node of a pod. */
    static String nodeName(String pod) {
        return pod.endsWith("2") || pod.startsWith("far") ? "n2" : "n1";
    }

    /** Starts the daemon on a node and waits until it has applied its feed. */
    static SluiceProcess sluice(Path directory, String node, String... args) throws IOException {
        return awaitSynced(launch(directory, node, args));
    }

    private static SluiceProcess awaitSynced(SluiceProcess started) {
        // Logged after the rules are loaded, which happens after the listeners are open.
        // The time is enough for a machine that emulates its processor.
        await().atMost(Duration.ofMinutes(3))
                .untilAsserted(() -> assertThat(started.err()).contains("synced: "));
        return started;
    }

    /** Starts the daemon with the feed {@code feed.yaml} in a directory, without waiting. */
    static SluiceProcess launch(Path directory, String node, String... args) throws IOException {
        return launch(directory, node, Map.of(), args);
    }

    static SluiceProcess launch(Path directory, String node, Map<String, String> environment, String... args)
            throws IOException {
        return launch(directory, node, exec(node), environment, args);
    }

    /** @param enter the command prefix that runs a program on the node */
    static SluiceProcess launch(
            Path directory, String node, List<String> enter, Map<String, String> environment, String... args)
            throws IOException {
        List<String> options = new ArrayList<>(List.of("--mode=node"));
        options.addAll(List.of(args));
        if (options.stream().noneMatch(option -> option.startsWith("--metrics-bind-address="))) {
            options.add("--metrics-bind-address=off");
        }
        return start(directory, node, enter, environment, options);
    }

    /**
     * Starts the daemon in bind mode on a node that has the addresses of the Services, and waits until it serves them.
     */
    static SluiceProcess launchInBindMode(Path directory, String node, String... args) throws IOException {
        List<String> options = new ArrayList<>(List.of("--mode=bind"));
        options.addAll(List.of(args));
        return awaitSynced(start(directory, node, exec(node), Map.of(), options));
    }

    private static SluiceProcess start(
            Path directory, String node, List<String> enter, Map<String, String> environment, List<String> options)
            throws IOException {
        List<String> command = new ArrayList<>(enter);
        command.addAll(List.of(
                SluiceProcess.HOME.resolve("bin/sluice").toString(),
                "run",
                "--feed=" + directory.resolve("feed.yaml"),
                "--node-name=" + nodeName(node),
                "--healthz-bind-address=off",
                "--loops=1"));
        command.addAll(options);
        return SluiceProcess.start(
                directory,
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
        requests.put(name, new PrintWriter(process.outputWriter(StandardCharsets.UTF_8), true));
    }

    /** Process id of the probe in a namespace. */
    long pid(String name) {
        return requireNonNull(probes.get(name)).pid();
    }

    /** Sends a command to the probe in a namespace and returns its response. */
    String tell(String name, String line) throws IOException {
        requireNonNull(requests.get(name)).println(line);
        String answer = requireNonNull(answers.get(name)).readLine();
        if (answer == null) {
            throw new IOException("the probe in " + name + " has ended");
        }
        return answer;
    }

    /** Runs a command in a namespace and returns its output. */
    static String in(String name, String command) throws IOException {
        return sh("ip netns exec " + PREFIX + name + " " + command);
    }

    /** The command prefix that runs a program in a namespace. */
    static List<String> exec(String name) {
        return List.of("ip", "netns", "exec", PREFIX + name);
    }

    /** The command prefix that runs a program in a namespace, but with /sys of the host namespace. */
    static List<String> execWithForeignSys(String name) {
        return List.of("nsenter", "--net=/run/netns/" + PREFIX + name);
    }

    /** Removes the namespaces of this run and of runs whose process has ended. */
    private static void remove() throws IOException {
        for (String line : sh("ip netns list").lines().toList()) {
            String name = line.split(" ")[0];
            Matcher matcher = OWN_NAMESPACES.matcher(name);
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
