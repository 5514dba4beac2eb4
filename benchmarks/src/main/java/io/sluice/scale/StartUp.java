package io.sluice.scale;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Measures the time from the start of the launcher to the first forwarded byte, and the memory of the idle daemon, with
 * 100 Services. Alternates between starts with and without the cache of {@code sluice aot}.
 */
final class StartUp {
    private static final int SERVICES = 100;
    private static final int ROUNDS = 7;
    private static final int PORT = 18_081;
    private static final long TIMEOUT_NANOS = TimeUnit.SECONDS.toNanos(30);

    /** Copies of the distribution, so that creating a cache does not modify the original. */
    private final Path plain;

    private final Path cached;
    private final Path feed;
    private final ServerSocket endpoint = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());

    private record Start(double millis, double residentMegabytes) {}

    private StartUp(Path distribution, Path directory) throws IOException, InterruptedException {
        plain = copy(distribution, directory.resolve("plain"));
        cached = copy(distribution, directory.resolve("cached"));
        Process aot = new ProcessBuilder(cached.resolve("bin/sluice").toString(), "aot")
                .inheritIO()
                .start();
        if (aot.waitFor() != 0) {
            throw new IOException("'sluice aot' failed");
        }
        feed = Files.writeString(directory.resolve("feed.yaml"), feed());
        Thread endpointThread = new Thread(this::serve, "endpoint");
        endpointThread.setDaemon(true);
        endpointThread.start();
    }

    public static void main(String[] args) throws IOException, InterruptedException {
        Locale.setDefault(Locale.ROOT);
        Path directory = Files.createTempDirectory("sluice-scale-");
        try {
            new StartUp(Path.of(args[0]), directory).run();
        } finally {
            try (Stream<Path> files = Files.walk(directory)) {
                for (Path path : files.sorted(Comparator.reverseOrder()).toList()) {
                    Files.delete(path);
                }
            }
        }
    }

    private void run() throws IOException, InterruptedException {
        List<Start> without = new ArrayList<>();
        List<Start> with = new ArrayList<>();
        for (int round = 0; round < ROUNDS; round++) {
            without.add(start(plain));
            with.add(start(cached));
        }
        System.out.printf("%d Services, %d starts each, medians (min–max)%n", SERVICES, ROUNDS);
        print("without a cache", without);
        print("with 'sluice aot'", with);
    }

    private static void print(String what, List<Start> starts) {
        System.out.printf(
                "%-18s %s ms to the first byte forwarded, %s MB resident%n",
                what,
                summary(starts.stream().mapToDouble(Start::millis).toArray()),
                summary(starts.stream().mapToDouble(Start::residentMegabytes).toArray()));
    }

    private static String summary(double[] values) {
        Arrays.sort(values);
        return "%,.0f (%,.0f–%,.0f)".formatted(values[values.length / 2], values[0], values[values.length - 1]);
    }

    private Start start(Path distribution) throws IOException, InterruptedException {
        Path log = feed.resolveSibling("log.txt");
        ProcessBuilder builder = new ProcessBuilder(
                        distribution.resolve("bin/sluice").toString(),
                        "run",
                        "--feed=" + feed,
                        "--drain-timeout=0s",
                        "--healthz-bind-address=127.0.0.1:0",
                        "--metrics-bind-address=127.0.0.1:0",
                        "--admin-bind-address=127.0.0.1:0")
                .redirectErrorStream(true)
                .redirectOutput(log.toFile());
        long start = System.nanoTime();
        Process process = builder.start();
        try {
            while (!answers()) {
                if (!process.isAlive() || System.nanoTime() - start > TIMEOUT_NANOS) {
                    throw new IOException("sluice does not forward within 30 s\n" + Files.readString(log));
                }
                TimeUnit.MILLISECONDS.sleep(1);
            }
            double millis = (System.nanoTime() - start) / 1e6;
            // Let the start complete before reading the memory.
            TimeUnit.SECONDS.sleep(2);
            return new Start(millis, residentMegabytes(process));
        } finally {
            process.destroy();
            if (!process.waitFor(10, TimeUnit.SECONDS)) {
                process.destroyForcibly();
            }
        }
    }

    private static boolean answers() {
        try (Socket client = new Socket()) {
            client.connect(new InetSocketAddress("127.33.0.0", PORT), 1_000);
            client.setSoTimeout(1_000);
            return client.getInputStream().read() == 1;
        } catch (IOException e) {
            // Not listening yet.
            return false;
        }
    }

    private void serve() {
        while (true) {
            try (Socket client = endpoint.accept()) {
                client.getOutputStream().write(1);
            } catch (IOException e) {
                throw new IllegalStateException("the endpoint failed; no start would succeed", e);
            }
        }
    }

    private static double residentMegabytes(Process process) throws IOException {
        Matcher matcher = Pattern.compile("VmRSS:\\s+(\\d+)")
                .matcher(Files.readString(Path.of("/proc", String.valueOf(process.pid()), "status")));
        if (!matcher.find()) {
            throw new IOException("no VmRSS of " + process.pid());
        }
        return Long.parseLong(matcher.group(1)) * 1024 / 1e6;
    }

    private String feed() {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < SERVICES; i++) {
            text.append("""
                    ---
                    apiVersion: v1
                    kind: Service
                    metadata: {name: s%1$d, namespace: scale}
                    spec: {clusterIP: 127.33.0.%1$d, ports: [{port: %2$d, protocol: TCP}]}
                    ---
                    apiVersion: discovery.k8s.io/v1
                    kind: EndpointSlice
                    metadata: {name: s%1$d-1, namespace: scale, labels: {kubernetes.io/service-name: s%1$d}}
                    addressType: IPv4
                    ports: [{name: "", port: %3$d, protocol: TCP}]
                    endpoints: [{addresses: ["127.0.0.1"], conditions: {ready: true}}]
                    """.formatted(i, PORT, endpoint.getLocalPort()));
        }
        return text.toString();
    }

    private static Path copy(Path from, Path to) throws IOException {
        try (Stream<Path> files = Files.walk(from)) {
            for (Path file : files.filter(each -> !each.toString().matches(".*\\.(aot|jsa)"))
                    .toList()) {
                Files.copy(file, to.resolve(from.relativize(file)), java.nio.file.StandardCopyOption.COPY_ATTRIBUTES);
            }
        }
        return to;
    }
}
