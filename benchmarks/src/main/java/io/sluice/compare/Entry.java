package io.sluice.compare;

import io.sluice.compare.Bench.Lane;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** A contestant on its node: how it is set up, and what can be seen of its processes. */
final class Entry {
    private static final int[] TCP = {Bench.HTTP, Bench.BULK};
    private static final int[] UDP = {Bench.PING, Bench.QUERY, Bench.FLOOD};

    final Contestant contestant;
    final Lane lane;
    private final Bench bench;
    private final Shell shell;
    private final Path launcher;
    private @Nullable Process process;

    Entry(Contestant contestant, Lane lane, Bench bench, Shell shell, Path launcher) {
        this.contestant = contestant;
        this.lane = lane;
        this.bench = bench;
        this.shell = shell;
        this.launcher = launcher;
    }

    /** What clients dial. */
    String address() {
        return contestant == Contestant.DIRECT ? lane.backend() : lane.service();
    }

    void start() throws IOException, InterruptedException {
        switch (contestant) {
            case DIRECT -> {}
            case NFT -> rules("compare", """
                    table ip compare {
                      chain pre {
                        type nat hook prerouting priority dstnat;
                        ip daddr %s dnat to %s
                      }
                    }
                    """.formatted(lane.service(), lane.backend()));
            case HAPROXY -> {
                local();
                process = start(List.of("haproxy", "-db", "-f", haproxy("")));
            }
            case HAPROXY_CLIENT -> {
                local();
                rules("compare", """
                        table ip compare {
                          chain pre {
                            type filter hook prerouting priority mangle;
                            meta l4proto tcp socket transparent 1 meta mark set 1
                          }
                        }
                        """);
                bench.in(lane.node(), "ip route replace local default dev lo table 100");
                if (bench.in(lane.node(), "ip rule list").contains("lookup 100")) {
                    bench.in(lane.node(), "ip rule del fwmark 1 lookup 100");
                }
                bench.in(lane.node(), "ip rule add fwmark 1 lookup 100");
                process = start(List.of("haproxy", "-db", "-f", haproxy("source 0.0.0.0 usesrc clientip")));
            }
            case NGINX -> {
                local();
                process = start(List.of("nginx", "-p", shell.folder() + "/", "-c", nginx()));
            }
            case BIND, BASELINE_BIND -> {
                local();
                process = start(sluice("--mode=bind"));
            }
            case NODE, BASELINE_NODE ->
                process = start(sluice(
                        "--mode=node",
                        // The client stands for a pod: of others kube-proxy would hide the address.
                        "--cluster-cidr=" + lane.clientNetwork(),
                        "--node-ip=" + lane.nodeToClient() + "," + lane.nodeToBackend()));
        }
        awaitAnswer();
    }

    private Process start(List<String> command) throws IOException {
        return bench.start(lane.node(), contestant.label, command);
    }

    private void awaitAnswer() throws IOException, InterruptedException {
        for (int i = 0; ; i++) {
            try {
                bench.load("probe " + address() + " " + Bench.HTTP);
                return;
            } catch (IOException e) {
                if (i == 100 || (process != null && !process.isAlive())) {
                    throw new IOException(contestant.label + " does not answer\n" + log(), e);
                }
                TimeUnit.MILLISECONDS.sleep(100);
            }
        }
    }

    private String log() throws IOException {
        Path log = shell.folder().resolve(contestant.label + ".log");
        return Files.exists(log) ? Files.readString(log) : "";
    }

    /** Gone and started anew, for what is measured on a fresh process. */
    void restart() throws IOException, InterruptedException {
        if (process != null) {
            process.destroy();
            if (contestant.isSluice() && !process.waitFor(40, TimeUnit.SECONDS)) {
                System.err.println(contestant.label + " does not end");
            }
            shell.end(process);
            start();
        }
    }

    /** Forgets the connections of the run before, which connection tracking keeps for two minutes. */
    void forget() throws IOException, InterruptedException {
        if (contestant == Contestant.NFT || contestant.isNodeMode()) {
            bench.in(lane.node(), "conntrack -F");
        }
    }

    private void local() throws IOException, InterruptedException {
        bench.in(lane.node(), "ip addr replace " + lane.service() + "/32 dev lo");
    }

    private void rules(String name, String text) throws IOException, InterruptedException {
        String all = "table ip %s\ndelete table ip %s\n".formatted(name, name) + text;
        bench.in(lane.node(), "nft -f " + shell.file(name + ".nft", all));
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
                    .formatted(port, lane.service(), lane.backend()));
        }
        return shell.file(contestant.label + ".cfg", text.toString()).toString();
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
                    .formatted(lane.service(), port, lane.backend()));
        }
        for (int port : UDP) {
            // With it, nginx ends the session after the answer: right for queries, and ruinous for all else.
            String responses = port == Bench.QUERY ? "proxy_responses 1;" : "";
            text.append(
                    "server { listen %1$s:%2$d udp reuseport rcvbuf=4m; proxy_pass %3$s:%2$d; proxy_timeout 30s; %4$s }\n"
                            .formatted(lane.service(), port, lane.backend(), responses));
        }
        return shell.file("nginx.conf", text.append("}\n").toString()).toString();
    }

    private List<String> sluice(String... flags) throws IOException {
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
                """.formatted(lane.service(), ports, endpoints, lane.backend());
        List<String> command = new ArrayList<>();
        command.add(launcher.toString());
        command.add("run");
        command.add("--feed=" + shell.file(contestant.label + ".yaml", feed));
        command.add("--drain-timeout=1s");
        command.addAll(List.of(flags));
        return command;
    }

    /** With what the JVM and Sluice run. */
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

    /** Its processes, workers too. */
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
