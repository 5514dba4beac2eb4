package io.sluice.socketlb;

import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SessionAffinity;
import io.sluice.socketlb.BpfStatistics.Runs;
import io.sluice.thread.Supervisor;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Measures the maps and programs of socket-level load balancing, with connections on loopback. */
@Command(
        name = "socketlb",
        mixinStandardHelpOptions = true,
        description =
                "Measures socket-level load balancing: the time of one change, the memory of the maps, the run time"
                        + " of the programs, and connections per second. Needs root.")
@SuppressWarnings("NullAway.Init") // picocli sets the fields
final class SocketLbBenchmark implements Callable<Integer> {
    /** The host part of an address in 127.0.0.0/16. */
    private static final int HOSTS = 1 << 16;

    private static final int AFFINITY_SECONDS = 10_800;
    private static final int WARM_UPS = 500;
    /** Time during which another process has the CPU counts as run time, so the fastest of several samples is printed. */
    private static final int SAMPLES = 20;

    private static final double PERCENT_99 = 0.99;

    @Option(
            names = "--cgroup",
            paramLabel = "DIRECTORY",
            required = true,
            description = "cgroup (v2) of this benchmark's own, whose parent it may enter; set by benchmarks/socketlb")
    private Path cgroup;

    @Option(
            names = "--pins",
            paramLabel = "DIRECTORY",
            required = true,
            description = "new directory in a BPF file system; set by benchmarks/socketlb")
    private Path pins;

    @Option(
            names = "--services",
            defaultValue = "50000",
            description = "service ports, at most 65000 (default: ${DEFAULT-VALUE})")
    private int services;

    @Option(
            names = "--endpoints",
            defaultValue = "5",
            description = "endpoints of each, at most 16 (default: ${DEFAULT-VALUE})")
    private int endpoints;

    @Option(
            names = "--used",
            defaultValue = "1000",
            description = "service ports that clients connect to (default: ${DEFAULT-VALUE})")
    private int used;

    @Option(
            names = "--changes",
            defaultValue = "5000",
            description = "changes of one endpoint (default: ${DEFAULT-VALUE})")
    private int changes;

    @Option(
            names = "--rounds",
            defaultValue = "9",
            description =
                    "measurements of connections per second, direct and redirected in turn (default: ${DEFAULT-VALUE})")
    private int rounds;

    @Option(
            names = "--seconds",
            defaultValue = "1",
            description = "duration of each measurement (default: ${DEFAULT-VALUE})")
    private double seconds;

    private final Random random = new Random(23);
    private Connector connector;

    public static void main(String[] args) {
        CommandLine line = new CommandLine(new SocketLbBenchmark());
        line.setExecutionExceptionHandler((e, command, result) -> {
            command.getErr().println("socketlb: " + e.getMessage());
            return 1;
        });
        System.exit(line.execute(args));
    }

    @Override
    public Integer call() throws Exception {
        Locale.setDefault(Locale.ROOT);
        SocketLbOptions options = new SocketLbOptions(SocketLbOptions.Mode.REQUIRED, cgroup, pins);
        Supervisor supervisor = new Supervisor();
        for (int affinitySeconds : new int[] {0, AFFINITY_SECONDS}) {
            System.out.printf(
                    "%n%d service ports with %d endpoints, %s session affinity%n",
                    services, endpoints, affinitySeconds == 0 ? "no" : "with");
            try (Connector own = new Connector();
                    SocketLoadBalancer balancer = SocketLoadBalancer.open(
                            options, (port, frontend) -> "", new UnusedForwarder(), Runnable::run, 0);
                    BpfStatistics statistics = new BpfStatistics(pins)) {
                connector = own;
                balancer.start(supervisor);
                changes(balancer, affinitySeconds);
                memory();
                enter(cgroup);
                use();
                cost(statistics, "any used Service", this::anyService);
                cost(statistics, "the same Service", () -> service(0));
                cost(statistics, "no Service", this::anyEndpoint);
            } finally {
                enter(cgroup.resolveSibling("."));
            }
        }
        try (Connector own = new Connector();
                SocketLoadBalancer balancer = SocketLoadBalancer.open(
                        options, (port, frontend) -> "", new UnusedForwarder(), Runnable::run, 0)) {
            connector = own;
            balancer.start(supervisor);
            balancer.apply(snapshot(0));
            enter(cgroup);
            use();
            rate();
        } finally {
            enter(cgroup.resolveSibling("."));
        }
        return 0;
    }

    private static void enter(Path cgroup) throws IOException {
        Files.writeString(cgroup.resolve("cgroup.procs"), "0");
    }

    private void changes(SocketLoadBalancer balancer, int affinitySeconds) {
        ServiceSnapshot snapshot = snapshot(affinitySeconds);
        long start = System.nanoTime();
        balancer.apply(snapshot);
        System.out.printf("first fill: %.0f ms%n", (System.nanoTime() - start) / 1e6);
        if (!balancer.status().reason().isEmpty()) {
            throw new IllegalStateException(balancer.status().reason());
        }
        long[] nanos = new long[changes];
        for (int i = -WARM_UPS; i < changes; i++) {
            // Replaces the last endpoint.
            int number = random.nextInt(services);
            ServicePort port = servicePort(number, affinitySeconds, endpoints + 1 + (i & 1));
            snapshot = snapshot.with(List.of(port), List.of());
            start = System.nanoTime();
            balancer.apply(snapshot);
            if (i >= 0) {
                nanos[i] = System.nanoTime() - start;
            }
        }
        Arrays.sort(nanos);
        System.out.printf(
                "one endpoint changes: median %.0f µs, p99 %.0f µs, max %.0f µs%n",
                nanos[changes / 2] / 1e3, nanos[(int) (changes * PERCENT_99)] / 1e3, nanos[changes - 1] / 1e3);
    }

    private static void memory() throws IOException {
        StringBuilder text = new StringBuilder();
        double sum = 0;
        for (Map.Entry<String, Long> map : BpfStatistics.mapMemory().entrySet()) {
            double megabytes = map.getValue() / 1e6;
            sum += megabytes;
            text.append(String.format(", %s %.1f", map.getKey(), megabytes));
        }
        System.out.printf("memory of the maps in MB: %.1f%s%n", sum, text);
    }

    private void cost(BpfStatistics statistics, String name, Supplier<InetSocketAddress> to) throws IOException {
        System.out.printf("connections to %s:%n", name);
        Map<String, List<Double>> nanosPerRun = new TreeMap<>();
        Map<String, Runs> before = statistics.programs();
        long connections = 0;
        Map<String, Runs> last = before;
        for (int i = 0; i < SAMPLES; i++) {
            connections += connector.connect(to, nanos() / SAMPLES);
            Map<String, Runs> now = statistics.programs();
            for (String hook : now.keySet()) {
                Runs runs = since(last, now, hook);
                if (runs.count() > 0) {
                    nanosPerRun
                            .computeIfAbsent(hook, key -> new ArrayList<>())
                            .add(runs.nanos() / (double) runs.count());
                }
            }
            last = now;
        }
        for (Map.Entry<String, List<Double>> hook : nanosPerRun.entrySet()) {
            List<Double> samples = hook.getValue();
            samples.sort(null);
            Runs all = since(before, last, hook.getKey());
            System.out.printf(
                    "  %-12s %.2f runs of %.0f ns (%.0f to %.0f)%n",
                    hook.getKey(),
                    all.count() / (double) connections,
                    samples.get(samples.size() / 2),
                    samples.get(0),
                    samples.get(samples.size() - 1));
        }
    }

    private static Runs since(Map<String, Runs> before, Map<String, Runs> now, String hook) {
        return Objects.requireNonNull(now.get(hook)).minus(Objects.requireNonNull(before.get(hook)));
    }

    /** Lets the programs create the entries of all Services and endpoints that are used later. */
    private void use() throws IOException {
        int[] next = {0};
        long connections = 0;
        while (connections < (long) used * endpoints) {
            connections += connector.connect(() -> service(next[0]++ % used), nanos());
        }
    }

    private void rate() throws IOException {
        List<Double> ratios = new ArrayList<>();
        System.out.println();
        for (int round = -2; round < rounds; round++) {
            long direct = 0;
            long redirected = 0;
            // Every second round measures them in the other order.
            for (boolean inside : round % 2 == 0 ? new boolean[] {false, true} : new boolean[] {true, false}) {
                enter(inside ? cgroup : cgroup.resolveSibling("."));
                if (inside) {
                    redirected = connector.connect(this::anyService, nanos());
                } else {
                    direct = connector.connect(this::anyEndpoint, nanos());
                }
            }
            if (round >= 0) {
                ratios.add(redirected / (double) direct);
                System.out.printf(
                        "connections/s: direct %.0f, redirected %.0f, ratio %.2f%n",
                        direct / seconds, redirected / seconds, redirected / (double) direct);
            }
        }
        ratios.sort(null);
        System.out.printf(
                "redirected to direct: median %.2f (%.2f to %.2f)%n",
                ratios.get(rounds / 2), ratios.get(0), ratios.get(rounds - 1));
    }

    private long nanos() {
        return (long) (seconds * TimeUnit.SECONDS.toNanos(1));
    }

    private ServiceSnapshot snapshot(int affinitySeconds) {
        ServicePort[] all = new ServicePort[services];
        Arrays.setAll(all, number -> servicePort(number, affinitySeconds, endpoints));
        return ServiceSnapshot.of(all);
    }

    /** @param last number of the last endpoint */
    private ServicePort servicePort(int number, int affinitySeconds, int last) {
        List<Endpoint> set = new ArrayList<>();
        for (int i = 1; i < endpoints; i++) {
            set.add(new Endpoint(address(i, number), connector.port()));
        }
        set.add(new Endpoint(address(last, number), connector.port()));
        Frontend frontend = Frontend.of(
                new FrontendAddress(Protocol.TCP, address(100, number), 80), Route.forward(set, Route.Source.CLIENT));
        return new ServicePort(
                new ServicePortName("bench", "service-" + number, "http", Protocol.TCP),
                new SessionAffinity(affinitySeconds),
                Set.of(),
                List.of(frontend));
    }

    /** An address in 127.0.0.0/8. */
    private static IpAddress address(int network, int host) {
        return Objects.requireNonNull(
                IpAddress.parse("127." + network + "." + (host % HOSTS >> 8) + "." + (host & 255)));
    }

    private static InetSocketAddress service(int number) {
        return address(100, number).toSocketAddress(80);
    }

    private InetSocketAddress anyService() {
        return service(random.nextInt(used));
    }

    private InetSocketAddress anyEndpoint() {
        return address(1 + random.nextInt(endpoints), random.nextInt(used)).toSocketAddress(connector.port());
    }
}
