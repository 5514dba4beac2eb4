package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.apiserver.FakeApiServer;
import io.sluice.apiserver.TestAuthority;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManagerFactory;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Tests {@code deploy/examples/apiserver-lb} with loopback addresses: the daemon load-balances three API servers. */
@Tag("one-jdk")
final class ApiServerLoadBalancingIT {
    private static final String FRONT = "127.98.0.10";
    private static final int CLIENTS = 4;

    @TempDir
    private Path directory;

    private final Map<String, AtomicInteger> answers = new ConcurrentHashMap<>();
    private final Queue<String> failures = new ConcurrentLinkedQueue<>();
    private final AtomicBoolean stop = new AtomicBoolean();

    @Test
    void keepsServingWhenOneOfThreeServersIsKilled() throws Exception {
        TestAuthority authority = TestAuthority.in(Files.createDirectory(directory.resolve("ca")));
        SSLSocketFactory trusting = trusting(authority);
        List<FakeApiServer> servers = new ArrayList<>();
        int port = 0;
        for (int i = 1; i <= 3; i++) {
            servers.add(FakeApiServer.secure(authority, "ip:" + FRONT, "127.98.0.1" + i, port, "server " + i));
            port = servers.get(0).port();
        }
        int front = NameServer.freePort(FRONT);
        Path feed = Files.createDirectory(directory.resolve("feed"));
        String example = Files.readString(Path.of("../deploy/examples/apiserver-lb/apiservers.yaml"));
        Files.writeString(
                feed.resolve("apiservers.yaml"),
                example.replaceFirst("(?m)^      port: 6443$", "      port: " + front)
                        .replaceFirst("(?m)^    port: 6443$", "    port: " + port)
                        .replace("192.0.2.", "127.98.0."));
        List<Thread> clients = new ArrayList<>();
        try (SluiceProcess sluice = SluiceProcess.start(
                directory,
                "run",
                "--feed",
                feed.toString(),
                "--healthz-bind-address=off",
                "--metrics-bind-address=off")) {
            await().atMost(RunIT.TIMEOUT).until(() -> sluice.err().contains("active"));
            for (int i = 0; i < CLIENTS; i++) {
                Thread client = new Thread(() -> connectRepeatedly(front, trusting), "client-" + i);
                client.start();
                clients.add(client);
            }
            await().atMost(RunIT.TIMEOUT).until(() -> answers.size() == 3 && answered() > 60);
            assertThat(failures).isEmpty();
            servers.get(1).stop();
            int before = answered();
            await().atMost(RunIT.TIMEOUT).until(() -> answered() > before + 200);
            stop.set(true);
            for (Thread client : clients) {
                client.join();
            }
        } finally {
            stop.set(true);
            servers.forEach(FakeApiServer::stop);
        }
        // Each client may fail once, on a connection to the killed server. Afterwards no client is sent to it.
        assertThat(failures).hasSizeLessThanOrEqualTo(CLIENTS);
    }

    private int answered() {
        return answers.values().stream().mapToInt(AtomicInteger::get).sum();
    }

    private void connectRepeatedly(int port, SSLSocketFactory trusting) {
        while (!stop.get()) {
            try {
                HttpsURLConnection connection =
                        (HttpsURLConnection) URI.create("https://" + FRONT + ":" + port + "/version")
                                .toURL()
                                .openConnection();
                connection.setSSLSocketFactory(trusting);
                connection.setRequestProperty("Connection", "close");
                try (InputStream in = connection.getInputStream()) {
                    String answer = new String(in.readAllBytes(), StandardCharsets.UTF_8);
                    answers.computeIfAbsent(answer, name -> new AtomicInteger()).incrementAndGet();
                }
            } catch (IOException e) {
                failures.add(e.toString());
            }
        }
    }

    private static SSLSocketFactory trusting(TestAuthority authority) throws Exception {
        KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
        trusted.load(null, null);
        trusted.setCertificateEntry(
                "ca",
                CertificateFactory.getInstance("X.509")
                        .generateCertificate(
                                new ByteArrayInputStream(authority.certificate().getBytes(StandardCharsets.US_ASCII))));
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context.getSocketFactory();
    }
}
