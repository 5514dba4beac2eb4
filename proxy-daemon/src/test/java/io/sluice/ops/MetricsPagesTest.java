package io.sluice.ops;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.prometheus.metrics.model.registry.MultiCollector;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.prometheus.metrics.model.registry.PrometheusScrapeRequest;
import io.prometheus.metrics.model.snapshots.MetricSnapshots;
import io.sluice.forward.FrontendCounts;
import io.sluice.http.HttpPort;
import io.sluice.http.HttpServer;
import io.sluice.http.Routes;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
import io.sluice.stats.Counter;
import io.sluice.stats.CounterCells;
import io.sluice.stats.Stats;
import io.sluice.thread.Supervisor;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.zip.GZIPInputStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Formats, filters and sharing of {@code /metrics}, over plain sockets; and the size of a large response. */
@Timeout(60)
final class MetricsPagesTest {
    private static final int CONNECTIONS = 64;
    private static final String GZIP = "Accept-Encoding: gzip\r\n";
    /** The header that Prometheus 2 sends. */
    private static final String PROMETHEUS =
            "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n";

    private final Stats stats = new Stats(2);
    private final PrometheusRegistry registry = new PrometheusRegistry();
    private final HttpServer server = new HttpServer(new Supervisor(), CONNECTIONS);
    private final HttpPort port = new HttpPort(
            server,
            "metrics",
            new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
            new Routes(new MetricsPages(registry, List::of, Map.of()).pages()));
    private final List<Socket> sockets = new ArrayList<>();

    @AfterEach
    void close() throws IOException {
        for (Socket socket : sockets) {
            socket.close();
        }
        server.close();
    }

    private void start() {
        SyncState sync =
                new SyncState(false, Optional.empty(), Optional.empty(), Optional.empty(), Optional.empty(), List.of());
        Metrics.register(
                () -> stats, () -> new DaemonState(sync, FrontendCounts.of(List.of()), List.of(), 0), registry);
        port.start();
    }

    private static final class Reply {
        private final String head;
        private final byte[] body;

        Reply(String head, byte[] body) {
            this.head = head;
            this.body = body;
        }

        String head() {
            return head;
        }

        byte[] body() {
            return body;
        }

        String text() {
            return new String(body, StandardCharsets.UTF_8);
        }

        String unzipped() throws IOException {
            return new String(
                    new GZIPInputStream(new ByteArrayInputStream(body)).readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private Socket send(String target, String headers) throws IOException {
        Socket socket = new Socket();
        sockets.add(socket);
        socket.connect(port.address().orElseThrow());
        socket.setSoTimeout(30_000);
        socket.getOutputStream()
                .write(("GET " + target + " HTTP/1.0\r\n" + headers + "\r\n").getBytes(StandardCharsets.US_ASCII));
        return socket;
    }

    private static Reply reply(Socket socket) throws IOException {
        byte[] all = socket.getInputStream().readAllBytes();
        int end = new String(all, StandardCharsets.ISO_8859_1).indexOf("\r\n\r\n") + 4;
        return new Reply(
                new String(all, 0, end, StandardCharsets.ISO_8859_1), Arrays.copyOfRange(all, end, all.length));
    }

    private Reply get(String target, String headers) throws IOException {
        return reply(send(target, headers));
    }

    @Test
    void writesTextUnlessTheClientAcceptsMore() throws Exception {
        start();
        Reply plain = get("/metrics", "Accept: */*\r\n");
        assertThat(plain.head())
                .startsWith("HTTP/1.1 200 ")
                .containsIgnoringCase("content-type: text/plain; version=0.0.4; charset=utf-8\r\n")
                .containsIgnoringCase("content-length: " + plain.body().length + "\r\n")
                .doesNotContainIgnoringCase("content-encoding");
        assertThat(plain.text()).contains("sluice_feed_synced 0.0\n").doesNotContain("# EOF");
    }

    @Test
    void writesOpenMetricsWithGzipForPrometheus() throws Exception {
        start();
        Reply reply = get("/metrics", PROMETHEUS + GZIP);
        assertThat(reply.head())
                .containsIgnoringCase("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n")
                .containsIgnoringCase("content-encoding: gzip\r\n");
        assertThat(reply.unzipped()).contains("sluice_feed_synced 0.0\n").endsWith("# EOF\n");
        assertThat(get("/metrics", "Accept-Encoding: br, GZIP;q=0.5\r\n").unzipped())
                .contains("sluice_feed_synced");
        for (String rejected : List.of("gzip;q=0", "gzip; q=0.000", "identity", "x-gzipped", "")) {
            assertThat(get("/metrics", "Accept-Encoding: " + rejected + "\r\n").text())
                    .as(rejected)
                    .contains("sluice_feed_synced");
        }
    }

    @Test
    void writesOnlyTheNamedMetrics() throws Exception {
        start();
        stats.open(name(0, Protocol.TCP)).cells(0).increment(Counter.SESSIONS_OPENED);
        assertThat(get("/metrics?name[]=sluice_feed_synced&name%5B%5D=sluice_sessions_opened_total", "")
                        .text()
                        .lines()
                        .filter(line -> !line.startsWith("#")))
                .hasSize(2)
                .anyMatch(line -> line.startsWith("sluice_feed_synced "))
                .anyMatch(line -> line.startsWith("sluice_sessions_opened_total{"));
        assertThat(get("/metrics?name[]=%zz", "").head()).startsWith("HTTP/1.1 400 ");
    }

    /** Holds the first rendering until the gate is open, and counts all of them. */
    private static final class Gate implements MultiCollector {
        final CountDownLatch open = new CountDownLatch(1);
        final AtomicInteger rendered = new AtomicInteger();

        @Override
        public MetricSnapshots collect() {
            throw new IllegalStateException("collected without a request");
        }

        @Override
        public MetricSnapshots collect(PrometheusScrapeRequest request) {
            rendered.incrementAndGet();
            try {
                open.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            return new MetricSnapshots();
        }
    }

    @Test
    void rendersOncePerEncodingForAllWaitingScrapes() throws Exception {
        Gate gate = new Gate();
        registry.register(gate);
        start();
        Socket first = send("/metrics", "");
        await().until(() -> gate.rendered.get() == 1);
        List<Socket> waiting = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            waiting.add(send("/metrics?unknown=" + i, "Accept: text/plain;q=0." + (i + 1) + "\r\n"));
            waiting.add(send("/metrics", PROMETHEUS + GZIP));
        }
        // The second one is answered only after all of the above have been read.
        assertThat(get("/healthz", "").text() + get("/healthz", "").text()).isEqualTo("okok");
        gate.open.countDown();
        assertThat(reply(first).head()).startsWith("HTTP/1.1 200 ");
        for (Socket socket : waiting) {
            assertThat(reply(socket).head()).startsWith("HTTP/1.1 200 ");
        }
        assertThat(gate.rendered).hasValue(3);
    }

    @Test
    void limitsTheNumberOfDifferentFilters() throws Exception {
        Gate gate = new Gate();
        registry.register(gate);
        start();
        Socket first = send("/metrics", "");
        await().until(() -> gate.rendered.get() == 1);
        List<Socket> waiting = new ArrayList<>();
        for (int i = 0; i < 8; i++) {
            waiting.add(send("/metrics?name[]=m" + i, ""));
            waiting.add(send("/metrics?name[]=m" + i + "&name[]=m" + i, ""));
        }
        assertThat(get("/healthz", "").text() + get("/healthz", "").text()).isEqualTo("okok");
        assertThat(get("/metrics?name[]=one_more", "").head())
                .startsWith("HTTP/1.1 503 ")
                .containsIgnoringCase("retry-after: 1\r\n");
        Socket unfiltered = send("/metrics", GZIP);
        gate.open.countDown();
        waiting.addAll(List.of(first, unfiltered));
        for (Socket socket : waiting) {
            assertThat(reply(socket).head()).startsWith("HTTP/1.1 200 ");
        }
        assertThat(get("/metrics?name[]=one_more", "").head()).startsWith("HTTP/1.1 200 ");
    }

    private static ServicePortName name(int number, Protocol protocol) {
        String[] words = {"orders", "billing", "search", "frontend", "inventory", "auth", "gateway", "mail"};
        return new ServicePortName(
                "team-" + words[number / 8 % 8] + "-" + number / 64,
                words[number % 8] + "-" + Integer.toHexString(number * 2_654_435),
                number % 3 == 0 ? "" : "http",
                protocol);
    }

    /** 1,000 Services with traffic in random amounts, of which every fifth has failures with several reasons. */
    @Test
    void staysWithinItsSizeLimitsWithAThousandBusyServices() throws Exception {
        start();
        Random random = new Random(1);
        for (int i = 0; i < 1_000; i++) {
            boolean tcp = i % 4 != 0;
            CounterCells cells =
                    stats.open(name(i, tcp ? Protocol.TCP : Protocol.UDP)).cells(0);
            cells.add(tcp ? Counter.SESSIONS_OPENED : Counter.FLOWS_OPENED, random.nextInt(1_000_000));
            cells.add(tcp ? Counter.SESSIONS_ACTIVE : Counter.FLOWS_ACTIVE, random.nextInt(100));
            cells.add(Counter.BYTES_TO_ENDPOINT, random.nextLong(1L << 40));
            cells.add(Counter.BYTES_TO_CLIENT, random.nextLong(1L << 40));
            if (!tcp) {
                cells.add(Counter.DATAGRAMS_TO_ENDPOINT, random.nextInt(1 << 30));
                cells.add(Counter.DATAGRAMS_TO_CLIENT, random.nextInt(1 << 30));
            }
            if (tcp && i % 5 == 0) {
                for (Counter failure : List.of(
                        Counter.SESSIONS_FAILED,
                        Counter.SESSIONS_RESET_BY_CLIENT,
                        Counter.SESSIONS_RESET_BY_ENDPOINT,
                        Counter.CONNECT_REFUSED,
                        Counter.CONNECT_TIMEOUT,
                        Counter.CONNECT_RETRIED)) {
                    cells.add(failure, 1 + random.nextInt(1_000));
                }
            }
        }
        Reply reply = get("/metrics", PROMETHEUS + GZIP);
        assertThat(reply.unzipped().lines().filter(line -> !line.startsWith("#")))
                .hasSizeBetween(5_000, 8_000);
        assertThat(reply.body()).hasSizeLessThanOrEqualTo(100_000);
    }
}
