package io.sluice.compare;

import io.sluice.compare.TestNetwork.Lane;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** Sets up a contestant on its node and reads memory, descriptors and flags of its processes. */
final class ContestantNode {
    private static final int[] TCP = {TestNetwork.HTTP, TestNetwork.BULK};
    /** CPU time in half a second with which a process counts as idle. */
    private static final int IDLE_CPU_MILLIS = 20;

    private static final int[] UDP = {TestNetwork.PING, TestNetwork.QUERY, TestNetwork.FLOOD};

    final Contestant contestant;
    final Lane lane;
    private final TestNetwork network;
    private final CommandRunner commands;
    private final Path launcher;
    private @Nullable Process process;

    ContestantNode(Contestant contestant, Lane lane, TestNetwork network, CommandRunner commands, Path launcher) {
        this.contestant = contestant;
        this.lane = lane;
        this.network = network;
        this.commands = commands;
        this.launcher = launcher;
    }

    /** The address that clients connect to. */
    String address() {
        return contestant == Contestant.DIRECT ? lane.endpoint() : lane.service();
    }

    void start() throws IOException, InterruptedException {
        switch (contestant) {
            case DIRECT -> {}
            case NFT -> loadRules("compare", """
                    table ip compare {
                      chain pre {
                        type nat hook prerouting priority dstnat;
                        ip daddr %s dnat to %s
                      }
                    }
                    """.formatted(lane.service(), lane.endpoint()));
            case HAPROXY -> {
                addServiceAddress();
                process = start(List.of("haproxy", "-db", "-f", haproxy("")));
            }
            case HAPROXY_CLIENT -> {
                addServiceAddress();
                loadRules("compare", """
                        table ip compare {
                          chain pre {
                            type filter hook prerouting priority mangle;
                            meta l4proto tcp socket transparent 1 meta mark set 1
                          }
                        }
                        """);
                network.in(lane.node(), "ip route replace local default dev lo table 100");
                if (network.in(lane.node(), "ip rule list").contains("lookup 100")) {
                    network.in(lane.node(), "ip rule del fwmark 1 lookup 100");
                }
                network.in(lane.node(), "ip rule add fwmark 1 lookup 100");
                process = start(List.of("haproxy", "-db", "-f", haproxy("source 0.0.0.0 usesrc clientip")));
            }
            case NGINX -> {
                addServiceAddress();
                process = start(List.of("nginx", "-p", commands.directory() + "/", "-c", nginx()));
            }
            case BIND, BASELINE_BIND -> {
                addServiceAddress();
                process = start(sluice(new String[] {"--mode=bind"}));
            }
            case NODE, BASELINE_NODE -> process = start(sluice(nodeMode()));
            case SOCKET ->
                process = start(sluice(
                        nodeMode(),
                        "--socket-lb=required",
                        "--socket-lb-cgroup=" + network.cgroup().cgroup(),
                        "--socket-lb-pins=" + network.cgroup().pins()));
        }
        awaitResponse();
    }

    private String[] nodeMode() {
        return new String[] {
            "--mode=node",
            // Treat the client as a pod: connections of external clients would be masqueraded.
            "--cluster-cidr=" + lane.clientNetwork(),
            "--node-ip=" + lane.nodeToClient() + "," + lane.nodeToEndpoint()
        };
    }

    private Process start(List<String> command) throws IOException {
        return network.start(lane.node(), contestant.label, command);
    }

    private void awaitResponse() throws IOException, InterruptedException {
        for (int i = 0; ; i++) {
            try {
                long before = network.accepted(lane);
                network.load("probe " + address() + " " + TestNetwork.HTTP);
                if (contestant != Contestant.SOCKET || network.accepted(lane) == before) {
                    return;
                }
                if (i == 100) {
                    throw new IOException("not attached");
                }
                TimeUnit.MILLISECONDS.sleep(100);
            } catch (IOException e) {
                if (i == 100 || (process != null && !process.isAlive())) {
                    throw new IOException(contestant.label + " does not respond\n" + log(), e);
                }
                TimeUnit.MILLISECONDS.sleep(100);
            }
        }
    }

    private String log() throws IOException {
        Path log = commands.directory().resolve(contestant.label + ".log");
        return Files.exists(log) ? Files.readString(log) : "";
    }

    /** Ends the process and starts a new one, for workloads that need a fresh process. */
    void restart() throws IOException, InterruptedException {
        if (process != null) {
            stop();
            start();
        }
    }

    private void stop() throws InterruptedException {
        if (process != null) {
            process.destroy();
            if (contestant.isSluice() && !process.waitFor(40, TimeUnit.SECONDS)) {
                System.err.println(contestant.label + " did not end within 40 s; killing it");
            }
            commands.end(process);
            process = null;
        }
    }

    /** Something that is measured. */
    interface Measurement {
        void run() throws IOException, InterruptedException;
    }

    /**
     * Runs a measurement. Programs for sockets are attached only meanwhile, because they run for the clients of all
     * contestants.
     *
     * @throws IllegalStateException if connections did not take the path of this contestant; the run cannot go on
     */
    void measure(Measurement measurement) throws IOException, InterruptedException {
        if (contestant != Contestant.SOCKET) {
            measurement.run();
            return;
        }
        start();
        try {
            awaitIdle();
            long before = network.accepted(lane);
            measurement.run();
            long accepted = network.accepted(lane) - before;
            if (accepted > 0) {
                throw new IllegalStateException(
                        contestant.label + ": " + accepted + " connections went through the process, not the socket");
            }
        } finally {
            pause();
        }
    }

    /** Waits until the JVM has started completely, which takes CPU time from the client and the endpoint. */
    private void awaitIdle() throws InterruptedException {
        long used = cpuMillis();
        for (int i = 0; i < 60; i++) {
            TimeUnit.MILLISECONDS.sleep(500);
            long now = cpuMillis();
            if (now - used <= IDLE_CPU_MILLIS) {
                return;
            }
            used = now;
        }
        System.err.println(contestant.label + " is still busy 30 s after its start");
    }

    private long cpuMillis() {
        return process == null
                ? 0
                : process.info().totalCpuDuration().map(Duration::toMillis).orElse(0L);
    }

    /** Ends what must not run while other contestants are measured. */
    void pause() throws IOException, InterruptedException {
        if (contestant == Contestant.SOCKET) {
            stop();
            if (network.cgroup().isAttached()) {
                throw new IllegalStateException(contestant.label + " left its programs attached\n" + log());
            }
        }
    }

    /** Removes conntrack entries of the previous measurement, which the kernel would keep for two minutes. */
    void flushConnectionTracking() throws IOException, InterruptedException {
        if (contestant == Contestant.NFT || contestant.isNodeMode()) {
            network.in(lane.node(), "conntrack -F");
        }
    }

    private void addServiceAddress() throws IOException, InterruptedException {
        network.in(lane.node(), "ip addr replace " + lane.service() + "/32 dev lo");
    }

    private void loadRules(String name, String text) throws IOException, InterruptedException {
        String all = "table ip %s\ndelete table ip %s\n".formatted(name, name) + text;
        network.in(lane.node(), "nft -f " + commands.file(name + ".nft", all));
    }

    private String haproxy(String source) throws IOException {
        StringBuilder text =
                new StringBuilder("""
                global
                  maxconn 9000
                  nbthread %d
                defaults
                  mode tcp
                  timeout connect 5s
                  timeout client 10m
                  timeout server 10m
                  %s
                """.formatted(Runtime.getRuntime().availableProcessors(), source));
        for (int port : TCP) {
            text.append("listen p%1$d\n  bind %2$s:%1$d\n  server b %3$s:%1$d\n"
                    .formatted(port, lane.service(), lane.endpoint()));
        }
        return commands.file(contestant.label + ".cfg", text.toString()).toString();
    }

    private String nginx() throws IOException {
        StringBuilder text = new StringBuilder("""
                load_module /usr/lib/nginx/modules/ngx_stream_module.so;
                worker_processes auto;
                worker_rlimit_nofile 20000;
                daemon off;
                pid nginx.pid;
                error_log nginx-error.log;
                events { worker_connections 19000; }
                stream {
                """);
        for (int port : TCP) {
            text.append("server { listen %1$s:%2$d reuseport backlog=8192; proxy_pass %3$s:%2$d; tcp_nodelay on; }\n"
                    .formatted(lane.service(), port, lane.endpoint()));
        }
        for (int port : UDP) {
            // Lets nginx end the flow after one response, which suits queries only.
            String responses = port == TestNetwork.QUERY ? "proxy_responses 1;" : "";
            text.append(
                    "server { listen %1$s:%2$d udp reuseport rcvbuf=4m; proxy_pass %3$s:%2$d; proxy_timeout 30s; %4$s }\n"
                            .formatted(lane.service(), port, lane.endpoint(), responses));
        }
        return commands.file("nginx.conf", text.append("}\n").toString()).toString();
    }

    private List<String> sluice(String[] mode, String... flags) throws IOException {
        StringBuilder ports = new StringBuilder();
        StringBuilder endpoints = new StringBuilder();
        for (int i = 0; i < TCP.length + UDP.length; i++) {
            String protocol = i < TCP.length ? "TCP" : "UDP";
            int port = i < TCP.length ? TCP[i] : UDP[i - TCP.length];
            ports.append("  - {name: p%1$d, port: %1$d, protocol: %2$s}\n".formatted(port, protocol));
            endpoints.append("- {name: p%1$d, port: %1$d, protocol: %2$s}\n".formatted(port, protocol));
        }
        String feed = """
                apiVersion: v1
                kind: Service
                metadata: {name: bench, namespace: compare}
                spec:
                  clusterIP: %s
                  ports:
                %s---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: bench-1, namespace: compare, labels: {kubernetes.io/service-name: bench}}
                addressType: IPv4
                ports:
                %sendpoints:
                - {addresses: [%s], conditions: {ready: true}}
                """.formatted(lane.service(), ports, endpoints, lane.endpoint());
        List<String> command = new ArrayList<>();
        command.add(launcher.toString());
        command.add("run");
        command.add("--feed=" + commands.file(contestant.label + ".yaml", feed));
        command.add("--drain-timeout=1s");
        command.addAll(List.of(mode));
        command.addAll(List.of(flags));
        return command;
    }

    /** The flags of the JVM and of Sluice. */
    String flags() throws IOException {
        if (process == null) {
            return "none";
        }
        String words = Files.readString(Path.of("/proc", String.valueOf(process.pid()), "cmdline"));
        return Stream.of(words.split("\0"))
                .filter(word -> word.startsWith("-X") || word.startsWith("-D") || word.startsWith("--"))
                .filter(word -> !word.startsWith("--feed"))
                .collect(Collectors.joining(" "));
    }

    /** The ids of the contestant's processes, including workers. */
    List<Long> pids() {
        if (process == null) {
            return List.of();
        }
        return Stream.concat(Stream.of(process.toHandle()), process.descendants())
                .map(ProcessHandle::pid)
                .toList();
    }

    long residentKilobytes() throws IOException {
        long sum = 0;
        for (long pid : pids()) {
            Matcher matcher = Pattern.compile("VmRSS:\\s+(\\d+)")
                    .matcher(Files.readString(Path.of("/proc", String.valueOf(pid), "status")));
            sum += matcher.find() ? Long.parseLong(matcher.group(1)) : 0;
        }
        return sum;
    }

    long descriptors() throws IOException {
        long sum = 0;
        for (long pid : pids()) {
            try (Stream<Path> all = Files.list(Path.of("/proc", String.valueOf(pid), "fd"))) {
                sum += all.count();
            }
        }
        return sum;
    }
}
