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
 * The demo's story: a feed, what the daemon makes of it, real requests, a change of the feed, and what was counted.
 * Everything it claims it has looked at.
 */
public final class Demo {
    private static final Duration PATIENCE = Duration.ofSeconds(10);
    private static final int REQUESTS = 12;
    private static final String AFFINITY = """
              sessionAffinity: ClientIP
              sessionAffinityConfig:
                clientIP:
                  timeoutSeconds: 600
            """;

    private final DemoScreen screen;
    private final boolean once;
    private final CountDownLatch stopped = new CountDownLatch(1);

    /** @param once whether to end after the last check */
    public Demo(DemoScreen screen, boolean once) {
        this.screen = screen;
        this.once = once;
    }

    /** Whether everything that was claimed is so. */
    public boolean run() throws IOException {
        try {
            perform();
        } catch (DemoScreen.OutputClosed e) {
            // As good as being asked to stop, and nobody to tell about it.
        }
        // What was shown until the end counts.
        return screen.failures() == 0;
    }

    private void perform() throws IOException {
        Thread story = Thread.currentThread();
        Signals.handle(
                signal -> {
                    stopped.countDown();
                    story.interrupt();
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
                tell(new Stage(
                        feed,
                        daemon,
                        servers,
                        new InetSocketAddress(DemoFeed.WEB, webPort),
                        new InetSocketAddress(DemoFeed.DNS, dnsPort),
                        new InetSocketAddress(DemoFeed.CART, webPort)));
                if (screen.failures() > 0) {
                    screen.title("The daemon's log:");
                    Files.readAllLines(feed.log()).forEach(screen::text);
                }
            }
        } catch (InterruptedException e) {
            // Asked to stop.
            screen.endStatus();
            screen.text("stopped, and cleaned up");
        } catch (ConfigurationException e) {
            throw new IllegalStateException("the demo's own settings are wrong", e);
        }
    }

    /** What stands on the stage: the feed, the daemon, and the addresses of the three services. */
    private record Stage(
            DemoFeed feed,
            Daemon daemon,
            DemoServers servers,
            InetSocketAddress web,
            InetSocketAddress dns,
            InetSocketAddress cart) {}

    private Configuration configuration(DemoFeed feed) throws IOException, ConfigurationException {
        // The usual ports if they are free, so that what is learnt here holds elsewhere. Checks take any.
        int healthz = once ? 0 : DemoServers.freePort(10256, "127.0.0.1");
        int metrics = once ? 0 : DemoServers.freePort(10249, "127.0.0.1");
        return Configuration.load(
                null,
                Map.of(),
                Map.of(
                        Setting.FEED, List.of(feed.path().toString()),
                        Setting.HEALTHZ_BIND_ADDRESS, List.of("127.0.0.1:" + healthz),
                        Setting.METRICS_BIND_ADDRESS, List.of("127.0.0.1:" + metrics)));
    }

    private void tell(Stage stage) throws IOException, InterruptedException {
        screen.title("Sluice demo: three Services, six sample servers and the daemon, all in this process.");
        services(stage);
        if (screen.failures() == 0) {
            roundRobin(stage);
            datagrams(stage);
            affinity(stage);
            removal(stage);
            figures(stage);
        }
        screen.title(screen.failures() == 0 ? "Everything is as it should be." : screen.failures() + " checks FAILED.");
        if (!once && screen.failures() == 0) {
            live(stage);
        }
    }

    private void services(Stage stage) throws InterruptedException {
        screen.heading("A folder of manifests, and what the daemon made of it");
        screen.faint(stage.feed().path().toString());
        boolean ready = await(() -> stage.daemon().syncLoop().snapshot().size() == 3
                && stage.daemon().forwarder().frontends().stream()
                        .allMatch(frontend -> frontend.state() == FrontendStatus.State.ACTIVE));
        screen.table(ServiceTable.lines(stage.daemon().syncLoop().snapshot()));
        screen.claim(ready, "three Service addresses are being served");
    }

    private void roundRobin(Stage stage) {
        screen.heading("Twelve HTTP requests to " + text(stage.web()) + ", each on a new connection");
        Map<String, Integer> answers = ask(REQUESTS, () -> DemoClient.tcp(stage.web()));
        screen.claim(
                answers.equals(Map.of("web-1", 4, "web-2", 4, "web-3", 4)), "each endpoint answered exactly 4 of them");
    }

    private void datagrams(Stage stage) throws IOException {
        screen.heading("Twelve datagrams to " + text(stage.dns()) + ", each from a new client port");
        Map<String, Integer> answers = new HashMap<>();
        List<DatagramSocket> clients = new ArrayList<>();
        try {
            for (int i = 0; i < REQUESTS; i++) {
                clients.add(DemoClient.udpSocket());
            }
            Iterator<DatagramSocket> next = clients.iterator();
            answers.putAll(ask(REQUESTS, () -> DemoClient.udp(next.next(), stage.dns())));
        } finally {
            clients.forEach(DatagramSocket::close);
        }
        screen.claim(!answers.containsKey(DemoClient.NOBODY), "each answer came from the address that was asked");
        screen.claim(
                answers.equals(Map.of("dns-1", 4, "dns-2", 4, "dns-3", 4)), "each endpoint answered exactly 4 of them");
    }

    private void affinity(Stage stage) {
        screen.heading("Six HTTP requests to " + text(stage.cart()) + ", which has ClientIP affinity");
        Map<String, Integer> answers = ask(6, () -> DemoClient.tcp(stage.cart()));
        screen.claim(
                answers.size() == 1 && !answers.containsKey(DemoClient.NOBODY),
                "one endpoint answered them all: this client is remembered");
    }

    private void removal(Stage stage) throws IOException, InterruptedException {
        int port = stage.servers().httpPort();
        screen.heading(
                "The third endpoint leaves " + stage.feed().file("web").getFileName() + "; twelve more requests");
        long start = System.nanoTime();
        stage.feed().write("web", DemoFeed.WEB, "TCP", stage.web().getPort(), port, "", 2);
        boolean moved = await(() -> webEndpoints(stage) == 2);
        screen.faint("in force " + (System.nanoTime() - start) / 1_000_000 + " ms after the file was renamed");
        Map<String, Integer> answers = ask(REQUESTS, () -> DemoClient.tcp(stage.web()));
        screen.claim(moved && !answers.containsKey("web-3"), "web-3 got nothing any more");
        screen.claim(answers.equals(Map.of("web-1", 6, "web-2", 6)), "the other two share: exactly 6 each");
        stage.feed().write("web", DemoFeed.WEB, "TCP", stage.web().getPort(), port, "", DemoServers.COUNT);
        screen.claim(await(() -> webEndpoints(stage) == DemoServers.COUNT), "put back, it is an endpoint again");
    }

    private static int webEndpoints(Stage stage) {
        ServiceSnapshot snapshot = stage.daemon().syncLoop().snapshot();
        for (ServicePort port : snapshot.sorted()) {
            if (port.name().service().equals("web")) {
                return port.frontends().get(0).node().endpoints().size();
            }
        }
        return 0;
    }

    private void figures(Stage stage) throws InterruptedException {
        screen.heading("What was counted");
        Table table = new Table("SERVICE", "CONNECTIONS", "FLOWS", "TO ENDPOINTS", "TO CLIENTS", "FAILED");
        for (ServiceStats service : stage.daemon().forwarder().stats().services()) {
            table.row(
                    service.name().toString(),
                    String.valueOf(service.get(Counter.SESSIONS_OPENED)),
                    String.valueOf(service.get(Counter.FLOWS_OPENED)),
                    service.get(Counter.BYTES_TO_ENDPOINT) + " B",
                    service.get(Counter.BYTES_TO_CLIENT) + " B",
                    String.valueOf(service.get(Counter.SESSIONS_FAILED)));
        }
        screen.table(table.lines());
        screen.claim(
                sum(stage, Counter.SESSIONS_OPENED) == REQUESTS * 2 + 6
                        && sum(stage, Counter.FLOWS_OPENED) == REQUESTS
                        && sum(stage, Counter.SESSIONS_FAILED) == 0,
                "30 connections and 12 flows, none failed");
        screen.claim(
                await(() -> sum(stage, Counter.SESSIONS_ACTIVE) == 0), "every connection was closed on both sides");
        screen.claim(
                get(stage.daemon().ports().healthz().orElse(null), "/readyz").startsWith("ready"),
                "/readyz says ready");
        ServicePortName web = new ServicePortName("demo", "web", "", Protocol.TCP);
        String series =
                "sluice_sessions_opened_total{namespace=\"demo\",port=\"\",protocol=\"tcp\",service=\"web\"} 24";
        screen.claim(
                get(stage.daemon().ports().metrics().orElse(null), "/metrics").contains(series),
                "/metrics says the same of " + web);
    }

    private static long sum(Stage stage, Counter counter) {
        return stage.daemon().forwarder().stats().sum(counter);
    }

    private static String get(@Nullable InetSocketAddress address, String path) throws InterruptedException {
        if (address == null) {
            return "";
        }
        URI uri = URI.create("http://" + text(address) + path);
        try {
            return HttpClient.newHttpClient()
                    .send(HttpRequest.newBuilder(uri).timeout(PATIENCE).build(), HttpResponse.BodyHandlers.ofString())
                    .body();
        } catch (IOException e) {
            return "no answer: " + e.getMessage();
        }
    }

    /** Shows who answered, in order, and counts the answers of each. */
    private Map<String, Integer> ask(int times, Supplier<String> question) {
        List<String> answers = new ArrayList<>();
        for (int i = 0; i < times; i++) {
            answers.add(question.get());
        }
        screen.text(String.join("  ", answers));
        return answers.stream().collect(Collectors.toMap(name -> name, name -> 1, Integer::sum, TreeMap::new));
    }

    private void live(Stage stage) throws IOException, InterruptedException {
        screen.title("Now try it yourself, from another terminal:");
        screen.text("curl http://" + text(stage.web()) + "/");
        stage.daemon().ports().metrics().ifPresent(at -> screen.text("curl http://" + text(at) + "/metrics"));
        stage.daemon().ports().healthz().ifPresent(at -> screen.text("curl http://" + text(at) + "/readyz"));
        screen.text("$EDITOR " + stage.feed().file("web"));
        screen.title("The demo itself asks each Service once a second. Ctrl-C ends it.");
        // In a terminal the line is written over; in a file each second would be a line too many.
        int every = screen.terminal() ? 1 : 10;
        for (int second = 0; !stopped.await(1, TimeUnit.SECONDS); second++) {
            DemoClient.tcp(stage.web());
            DemoClient.tcp(stage.cart());
            try (DatagramSocket client = DemoClient.udpSocket()) {
                DemoClient.udp(client, stage.dns());
            }
            if (second % every == 0) {
                screen.status("%d connections (%d open, %d failed), %d flows, %d kB relayed"
                        .formatted(
                                sum(stage, Counter.SESSIONS_OPENED),
                                sum(stage, Counter.SESSIONS_ACTIVE),
                                sum(stage, Counter.SESSIONS_FAILED),
                                sum(stage, Counter.FLOWS_OPENED),
                                (sum(stage, Counter.BYTES_TO_ENDPOINT) + sum(stage, Counter.BYTES_TO_CLIENT)) / 1000));
            }
        }
        screen.endStatus();
        screen.text("stopped, and cleaned up");
    }

    private static boolean await(BooleanSupplier condition) throws InterruptedException {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
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
