package io.sluice.apiserver;

import static java.util.Objects.requireNonNull;

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsParameters;
import com.sun.net.httpserver.HttpsServer;
import io.sluice.apiserver.Pem.Identity;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.SecureRandom;
import java.security.cert.X509Certificate;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLContextSpi;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLServerSocketFactory;
import javax.net.ssl.SSLSessionContext;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import org.jspecify.annotations.Nullable;

/**
 * An HTTP server on loopback that records what it is asked, admits whom it is told to, and leaves the answers to a
 * handler. It can be stopped and started again, and then has the same port.
 */
public final class FakeApiServer implements AutoCloseable {
    /** Answers one request; the exchange is closed behind it. */
    @FunctionalInterface
    interface Handler {
        void handle(HttpExchange exchange) throws IOException;
    }

    /** What came. */
    record Request(String method, String path, @Nullable String query, Headers headers, String body) {
        String header(String name) {
            return String.valueOf(headers.getFirst(name));
        }
    }

    private final Handler handler;
    private final List<Request> requests = new CopyOnWriteArrayList<>();
    private InetAddress address = InetAddress.getLoopbackAddress();
    private int port;
    private volatile @Nullable SSLContext context;
    private volatile boolean wantsCertificate;
    private volatile @Nullable String authorization;
    private @Nullable HttpServer server;
    private @Nullable ExecutorService threads;

    FakeApiServer(Handler handler) {
        this.handler = handler;
    }

    /** Over TLS, with a certificate of its own for the names; says its name to everybody. Started. */
    public static FakeApiServer secure(TestAuthority authority, String names, String address, int port, String name) {
        return new FakeApiServer(saying(200, name))
                .at(address, port)
                .https(authority.server(names), null)
                .start();
    }

    /** A handler that gives everybody this text. */
    static Handler saying(int status, String text) {
        return exchange -> answer(exchange, status, text);
    }

    static void answer(HttpExchange exchange, int status, String text) throws IOException {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", "application/json");
        exchange.sendResponseHeaders(status, bytes.length == 0 ? -1 : bytes.length);
        exchange.getResponseBody().write(bytes);
    }

    /** Where it listens; before it starts. */
    FakeApiServer at(String address, int port) {
        try {
            this.address = InetAddress.getByName(address);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        this.port = port;
        return this;
    }

    /** Has this certificate from now on; also while it runs, for new connections, if it ran with TLS before. */
    FakeApiServer https(Identity identity, @Nullable String clientAuthority) {
        try {
            context = context(identity, clientAuthority);
        } catch (GeneralSecurityException | IOException e) {
            throw new IllegalStateException(e);
        }
        wantsCertificate = clientAuthority != null;
        return this;
    }

    /** Answers 401 from now on to who does not have this token; everybody is admitted again with null. */
    FakeApiServer demandBearer(@Nullable String token) {
        authorization = token == null ? null : "Bearer " + token;
        return this;
    }

    FakeApiServer demandBasic(String user, String password) {
        byte[] pair = (user + ":" + password).getBytes(StandardCharsets.UTF_8);
        authorization = "Basic " + Base64.getEncoder().encodeToString(pair);
        return this;
    }

    public FakeApiServer start() {
        try {
            InetSocketAddress at = new InetSocketAddress(address, port);
            HttpServer made = context == null ? HttpServer.create(at, 0) : HttpsServer.create(at, 0);
            if (made instanceof HttpsServer secure) {
                secure.setHttpsConfigurator(configurator());
            }
            port = made.getAddress().getPort();
            threads = Executors.newCachedThreadPool(task -> {
                Thread thread = new Thread(task, "fake-api-server");
                thread.setDaemon(true);
                return thread;
            });
            made.setExecutor(threads);
            made.createContext("/", this::handle);
            made.start();
            server = made;
            return this;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Ends it and all its connections. */
    public void stop() {
        if (server != null) {
            server.stop(0);
            server = null;
            requireNonNull(threads).shutdownNow();
        }
    }

    @Override
    public void close() {
        stop();
    }

    public int port() {
        return port;
    }

    String url() {
        return (context == null ? "http://" : "https://") + address.getHostAddress() + ":" + port;
    }

    /** All that came, in order; those that were refused as well. */
    List<Request> requests() {
        return requests;
    }

    private void handle(HttpExchange exchange) throws IOException {
        try (exchange) {
            String body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
            requests.add(new Request(
                    exchange.getRequestMethod(),
                    exchange.getRequestURI().getPath(),
                    exchange.getRequestURI().getQuery(),
                    exchange.getRequestHeaders(),
                    body));
            String wanted = authorization;
            if (wanted != null && !wanted.equals(exchange.getRequestHeaders().getFirst("Authorization"))) {
                answer(exchange, 401, "{\"kind\":\"Status\",\"code\":401,\"message\":\"Unauthorized\"}");
                return;
            }
            handler.handle(exchange);
        } catch (RuntimeException e) {
            throw swallowedOtherwise(e);
        }
    }

    /** The JDK's server only closes the connection after an exception; after an error, its thread ends and the test fails. */
    static AssertionError swallowedOtherwise(RuntimeException failure) {
        return new AssertionError("a handler failed", failure);
    }

    private HttpsConfigurator configurator() {
        return new HttpsConfigurator(new Current(this)) {
            @Override
            public void configure(HttpsParameters parameters) {
                SSLParameters all = requireNonNull(context).getDefaultSSLParameters();
                all.setNeedClientAuth(wantsCertificate);
                parameters.setSSLParameters(all);
            }
        };
    }

    /** The server keeps the context that it was started with; this one changes with what is wanted. */
    private static final class Current extends SSLContext {
        Current(FakeApiServer server) {
            super(
                    new SSLContextSpi() {
                        @Override
                        protected void engineInit(
                                KeyManager @Nullable [] keys,
                                TrustManager @Nullable [] trusted,
                                @Nullable SecureRandom random) {
                            throw new UnsupportedOperationException();
                        }

                        @Override
                        protected SSLSocketFactory engineGetSocketFactory() {
                            throw new UnsupportedOperationException();
                        }

                        @Override
                        protected SSLServerSocketFactory engineGetServerSocketFactory() {
                            throw new UnsupportedOperationException();
                        }

                        @Override
                        protected SSLEngine engineCreateSSLEngine() {
                            return requireNonNull(server.context).createSSLEngine();
                        }

                        @Override
                        protected SSLEngine engineCreateSSLEngine(String host, int port) {
                            return requireNonNull(server.context).createSSLEngine(host, port);
                        }

                        @Override
                        protected SSLSessionContext engineGetServerSessionContext() {
                            return requireNonNull(server.context).getServerSessionContext();
                        }

                        @Override
                        protected SSLSessionContext engineGetClientSessionContext() {
                            return requireNonNull(server.context).getClientSessionContext();
                        }
                    },
                    requireNonNull(server.context).getProvider(),
                    "TLS");
        }
    }

    private static SSLContext context(Identity identity, @Nullable String clientAuthority)
            throws GeneralSecurityException, IOException {
        char[] password = new char[0];
        KeyStore keys = KeyStore.getInstance("PKCS12");
        keys.load(null, password);
        keys.setKeyEntry(
                "server",
                Pem.privateKey(identity.key()),
                password,
                Pem.certificates(identity.certificate()).toArray(X509Certificate[]::new));
        KeyManagerFactory ours = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        ours.init(keys, password);
        KeyStore authorities = KeyStore.getInstance("PKCS12");
        authorities.load(null, password);
        if (clientAuthority != null) {
            authorities.setCertificateEntry(
                    "ca", Pem.certificates(clientAuthority).get(0));
        }
        TrustManagerFactory trusted = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trusted.init(authorities);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(ours.getKeyManagers(), trusted.getTrustManagers(), null);
        return context;
    }
}
