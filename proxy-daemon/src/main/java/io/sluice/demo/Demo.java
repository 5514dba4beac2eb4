package io.sluice.demo;

import io.sluice.config.Configuration;
import io.sluice.config.ConfigurationException;
import io.sluice.config.Setting;
import io.sluice.daemon.Daemon;
import io.sluice.daemon.Logging;
import io.sluice.daemon.Signals;
import io.sluice.forward.FrontendStatus;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.ops.ServiceTable;
import io.sluice.stats.Counter;
import io.sluice.stats.ServiceStats;
import io.sluice.text.Table;
import java.io.IOException;
import java.io.OutputStream;
import java.net.DatagramSocket;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * The demo: writes a feed, serves its Services, sends requests, changes the feed, and shows statistics. Each statement
 * that the demo prints is the result of a check.
 */
public final class Demo {
    private static final Duration TIMEOUT = Duration.ofSeconds(10);
    private static final int REQUESTS = 12;
    private static final int AFFINITY_REQUESTS = 6;
    private static final String AFFINITY = """
              sessionAffinity: ClientIP
              sessionAffinityConfig:
                clientIP:
                  timeoutSeconds: 600
            """;

    private final DemoScreen screen;
    private final boolean once;
    private final HttpClient http = HttpClient.newHttpClient();
    private final CountDownLatch stopped = new CountDownLatch(1);

    /**
     * Creates a demo.
     *
     * @param once whether to exit after the last check
     */
    public Demo(DemoScreen screen, boolean once) {
        this.screen = screen;
        this.once = once;
    }

    /** Runs the demo. Returns whether all checks passed. */
    public boolean run() throws IOException {
        try {
            perform();
        } catch (DemoScreen.OutputClosed e) {
            // The reader of the output has exited, so the demo stops as on a signal.
        }
        // If the demo was stopped early, only the checks made so far count.
        return screen.failures() == 0;
    }

    private void perform() throws IOException {
        Thread main = Thread.currentThread();
        Signals.handle(
                signal -> {
                    stopped.countDown();
                    main.interrupt();
                },
                () -> {});
        int webPort = DemoServers.freePort(8080, DemoFeed.WEB, DemoFeed.CART);
        int dnsPort = DemoServers.freePort(5300, DemoFeed.DNS);
        try (DemoFeed feed = new DemoFeed();
                DemoServers servers = new DemoServers();
                OutputStream log = Files.newOutputStream(feed.log())) {
            Logging.configure("text", "info", log);
            feed.write("web", DemoFeed.WEB, "TCP", webPort, servers.httpPort(), "", DemoServers.COUNT);
            feed.write("dns", DemoFeed.DNS, "UDP", dnsPort, servers.udpPort(), "", DemoServers.COUNT);
            feed.write("cart", DemoFeed.CART, "TCP", webPort, servers.httpPort(), AFFINITY, DemoServers.COUNT);
            Configuration configuration = configuration(feed);
            try (Daemon daemon = new Daemon(configuration.settings(), configuration.toMap(), null)) {
                daemon.start();
                runSteps(new Setup(
                        feed,
                        daemon,
                        servers,
                        new InetSocketAddress(DemoFeed.WEB, webPort),
                        new InetSocketAddress(DemoFeed.DNS, dnsPort),
                        new InetSocketAddress(DemoFeed.CART, webPort)));
                if (screen.failures() > 0) {
                    screen.title("Log of the daemon:");
                    Files.readAllLines(feed.log()).forEach(screen::text);
                }
            }
        } catch (InterruptedException e) {
            // The demo was stopped by a signal.
            screen.endStatus();
            screen.text("stopped and cleaned up");
        } catch (ConfigurationException e) {
            throw new IllegalStateException("the demo's own settings are invalid", e);
        }
    }

    /** The feed, the daemon, the sample servers and the addresses of the three Services. */
    private record Setup(
            DemoFeed feed,
            Daemon daemon,
            DemoServers servers,
            InetSocketAddress web,
            InetSocketAddress dns,
            InetSocketAddress cart) {}

    private Configuration configuration(DemoFeed feed) throws IOException, ConfigurationException {
        // Use the default ports if they are free, so that the URLs are the usual ones; with --once, use any free port.
        int healthz = once ? 0 : DemoServers.freePort(10256, "127.0.0.1");
        int metrics = once ? 0 : DemoServers.freePort(10249, "127.0.0.1");
        int admin = once ? 0 : DemoServers.freePort(10261, "127.0.0.1");
        return Configuration.load(
                null,
                Map.of(),
                Map.of(
                        Setting.FEED, List.of(feed.path().toString()),
                        Setting.HEALTHZ_BIND_ADDRESS, List.of("127.0.0.1:" + healthz),
                        Setting.METRICS_BIND_ADDRESS, List.of("127.0.0.1:" + metrics),
                        Setting.ADMIN_BIND_ADDRESS, List.of("127.0.0.1:" + admin)));
    }

    private void runSteps(Setup setup) throws IOException, InterruptedException {
        screen.title("Sluice demo: 3 Services, 6 sample servers and the daemon, all in this process");
        services(setup);
        if (screen.failures() == 0) {
            roundRobin(setup);
            datagrams(setup);
            affinity(setup);
            removal(setup);
            statistics(setup);
        }
        screen.title(
                screen.failures() == 0 ? "All checks passed." : Table.count(screen.failures(), "check") + " FAILED.");
        if (!once && screen.failures() == 0) {
            keepServing(setup);
        }
    }

    private void services(Setup setup) throws InterruptedException {
        screen.heading("Services read from a directory of manifests");
        screen.faint(setup.feed().path().toString());
        boolean ready = await(() -> setup.daemon().syncLoop().snapshot().size() == 3
                && setup.daemon().forwarder().frontends().stream()
                        .allMatch(frontend -> frontend.state() == FrontendStatus.State.ACTIVE));
        screen.table(ServiceTable.lines(setup.daemon().syncLoop().snapshot()));
        screen.check(ready, "all 3 Service addresses are active");
    }

    private void roundRobin(Setup setup) {
        screen.heading(REQUESTS + " HTTP requests to " + text(setup.web()) + ", each on a new connection");
        Map<String, Integer> answers = request(REQUESTS, () -> DemoClient.tcp(setup.web()));
        screen.check(
                answers.equals(Map.of("web-1", 4, "web-2", 4, "web-3", 4)),
                "round robin: each endpoint answered exactly 4 requests");
    }

    private void datagrams(Setup setup) throws IOException {
        screen.heading(REQUESTS + " datagrams to " + text(setup.dns()) + ", each from a new client port");
        Map<String, Integer> answers = new HashMap<>();
        List<DatagramSocket> clients = new ArrayList<>();
        try {
            for (int i = 0; i < REQUESTS; i++) {
                clients.add(DemoClient.udpSocket());
            }
            Iterator<DatagramSocket> next = clients.iterator();
            answers.putAll(request(REQUESTS, () -> DemoClient.udp(next.next(), setup.dns())));
        } finally {
            clients.forEach(DatagramSocket::close);
        }
        screen.check(!answers.containsKey(DemoClient.NO_ANSWER), "every reply came from the Service address");
        screen.check(
                answers.equals(Map.of("dns-1", 4, "dns-2", 4, "dns-3", 4)),
                "round robin: each endpoint answered exactly 4 datagrams");
    }

    private void affinity(Setup setup) {
        screen.heading(
                AFFINITY_REQUESTS + " HTTP requests to " + text(setup.cart()) + ", with session affinity ClientIP");
        Map<String, Integer> answers = request(AFFINITY_REQUESTS, () -> DemoClient.tcp(setup.cart()));
        screen.check(
                answers.size() == 1 && !answers.containsKey(DemoClient.NO_ANSWER),
                "session affinity: one endpoint answered all requests of this client");
    }

    private void removal(Setup setup) throws IOException, InterruptedException {
        int port = setup.servers().httpPort();
        screen.heading("web-3 removed from " + setup.feed().file("web").getFileName() + ", then " + REQUESTS
                + " more HTTP requests");
        long start = System.nanoTime();
        setup.feed().write("web", DemoFeed.WEB, "TCP", setup.web().getPort(), port, "", 2);
        boolean moved = await(() -> webEndpoints(setup) == 2);
        screen.faint("applied " + (System.nanoTime() - start) / 1_000_000 + " ms after the file changed");
        Map<String, Integer> answers = request(REQUESTS, () -> DemoClient.tcp(setup.web()));
        screen.check(moved && !answers.containsKey("web-3"), "web-3 received no further requests");
        screen.check(
                answers.equals(Map.of("web-1", 6, "web-2", 6)),
                "round robin: the other two answered exactly 6 requests each");
        setup.feed().write("web", DemoFeed.WEB, "TCP", setup.web().getPort(), port, "", DemoServers.COUNT);
        screen.check(
                await(() -> webEndpoints(setup) == DemoServers.COUNT),
                "after it was added back, web-3 is an endpoint again");
    }

    private static int webEndpoints(Setup setup) {
        ServiceSnapshot snapshot = setup.daemon().syncLoop().snapshot();
        for (ServicePort port : snapshot.sorted()) {
            if (port.name().service().equals("web")) {
                return port.frontends().get(0).node().endpoints().size();
            }
        }
        return 0;
    }

    private void statistics(Setup setup) throws InterruptedException {
        screen.heading("Statistics");
        Table table = new Table("SERVICE", "CONNECTIONS", "FLOWS", "TO ENDPOINTS", "TO CLIENTS", "FAILED");
        for (ServiceStats service : setup.daemon().forwarder().stats().services()) {
            table.row(
                    service.name().toString(),
                    String.valueOf(service.get(Counter.SESSIONS_OPENED)),
                    String.valueOf(service.get(Counter.FLOWS_OPENED)),
                    service.get(Counter.BYTES_TO_ENDPOINT) + " B",
                    service.get(Counter.BYTES_TO_CLIENT) + " B",
                    String.valueOf(service.get(Counter.SESSIONS_FAILED)));
        }
        screen.table(table.lines());
        screen.check(
                sum(setup, Counter.SESSIONS_OPENED) == REQUESTS * 2 + AFFINITY_REQUESTS
                        && sum(setup, Counter.FLOWS_OPENED) == REQUESTS
                        && sum(setup, Counter.SESSIONS_FAILED) == 0,
                "30 connections and 12 UDP flows, none failed");
        screen.check(await(() -> sum(setup, Counter.SESSIONS_ACTIVE) == 0), "all connections are closed");
        screen.check(
                get(setup.daemon().ports().healthz().orElse(null), "/readyz").startsWith("ready"),
                "/readyz reports ready");
        ServicePortName web = new ServicePortName("demo", "web", "", Protocol.TCP);
        String series =
                "sluice_sessions_opened_total{namespace=\"demo\",port=\"\",protocol=\"tcp\",service=\"web\"} 24";
        screen.check(
                get(setup.daemon().ports().metrics().orElse(null), "/metrics").contains(series),
                "/metrics reports the same 24 connections for " + web);
    }

    private static long sum(Setup setup, Counter counter) {
        return setup.daemon().forwarder().stats().sum(counter);
    }

    private String get(@Nullable InetSocketAddress address, String path) throws InterruptedException {
        if (address == null) {
            return "";
        }
        URI uri = URI.create("http://" + text(address) + path);
        try {
            return http.send(HttpRequest.newBuilder(uri).timeout(TIMEOUT).build(), HttpResponse.BodyHandlers.ofString())
                    .body();
        } catch (IOException e) {
            return "no response: " + e.getMessage();
        }
    }

    /** Sends requests, prints the name of the server that answered each one, and counts the answers per server. */
    private Map<String, Integer> request(int times, Supplier<String> sendRequest) {
        List<String> answers = new ArrayList<>();
        for (int i = 0; i < times; i++) {
            answers.add(sendRequest.get());
        }
        screen.text(String.join("  ", answers));
        return answers.stream().collect(Collectors.toMap(name -> name, name -> 1, Integer::sum, TreeMap::new));
    }

    private void keepServing(Setup setup) throws IOException, InterruptedException {
        screen.title("Try it from another terminal:");
        screen.text("curl http://" + text(setup.web()) + "/");
        setup.daemon().ports().metrics().ifPresent(at -> screen.text("curl http://" + text(at) + "/metrics"));
        setup.daemon().ports().healthz().ifPresent(at -> screen.text("curl http://" + text(at) + "/readyz"));
        screen.text("$EDITOR " + setup.feed().file("web"));
        screen.title("The demo sends a request to each Service every second. Press Ctrl-C to stop.");
        // In a terminal, the status line is overwritten; elsewhere, one line per second would be too much output.
        int every = screen.terminal() ? 1 : 10;
        for (int second = 0; !stopped.await(1, TimeUnit.SECONDS); second++) {
            DemoClient.tcp(setup.web());
            DemoClient.tcp(setup.cart());
            try (DatagramSocket client = DemoClient.udpSocket()) {
                DemoClient.udp(client, setup.dns());
            }
            if (second % every == 0) {
                screen.status("%d connections (%d open, %d failed), %d UDP flows, %d kB forwarded"
                        .formatted(
                                sum(setup, Counter.SESSIONS_OPENED),
                                sum(setup, Counter.SESSIONS_ACTIVE),
                                sum(setup, Counter.SESSIONS_FAILED),
                                sum(setup, Counter.FLOWS_OPENED),
                                (sum(setup, Counter.BYTES_TO_ENDPOINT) + sum(setup, Counter.BYTES_TO_CLIENT)) / 1000));
            }
        }
        screen.endStatus();
        screen.text("stopped and cleaned up");
    }

    private static boolean await(BooleanSupplier condition) throws InterruptedException {
        long deadline = System.nanoTime() + TIMEOUT.toNanos();
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() - deadline > 0) {
                return false;
            }
            TimeUnit.MILLISECONDS.sleep(2);
        }
        return true;
    }

    private static String text(InetSocketAddress address) {
        return IpAddress.of(address.getAddress()).withPort(address.getPort());
    }
}
