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
 * HTTP server on loopback that records requests, checks credentials, and leaves responses to a handler. It can be
 * stopped and started again on the same port.
 */
public final class FakeApiServer implements AutoCloseable {
    /** Responds to one request; the caller closes the exchange. */
    @FunctionalInterface
    interface Handler {
        void handle(HttpExchange exchange) throws IOException;
    }

    /** A recorded request. */
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
    private volatile boolean requiresClientCertificate;
    private volatile @Nullable String authorization;
    private @Nullable HttpServer server;
    private @Nullable ExecutorService threads;

    FakeApiServer(Handler handler) {
        this.handler = handler;
    }

    /** Starts a TLS server with a certificate for {@code names}, which responds to every request with {@code name}. */
    public static FakeApiServer secure(TestAuthority authority, String names, String address, int port, String name) {
        return new FakeApiServer(responding(200, name))
                .at(address, port)
                .https(authority.server(names), null)
                .start();
    }

    /** A handler that always sends the same response. */
    static Handler responding(int status, String text) {
        return exchange -> sendResponse(exchange, status, text);
    }

    static void sendResponse(HttpExchange exchange, int status, String text) throws IOException {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", "application/json");
        exchange.sendResponseHeaders(status, bytes.length == 0 ? -1 : bytes.length);
        exchange.getResponseBody().write(bytes);
    }

    /** Sets the address to listen on; call before the start. */
    FakeApiServer at(String address, int port) {
        try {
            this.address = InetAddress.getByName(address);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        this.port = port;
        return this;
    }

    /** Sets the certificate. A running TLS server uses it for new connections. */
    FakeApiServer https(Identity identity, @Nullable String clientAuthority) {
        try {
            context = context(identity, clientAuthority);
        } catch (GeneralSecurityException | IOException e) {
            throw new IllegalStateException(e);
        }
        requiresClientCertificate = clientAuthority != null;
        return this;
    }

    /** Responds 401 to requests without this token; null accepts all requests again. */
    FakeApiServer requireBearer(@Nullable String token) {
        authorization = token == null ? null : "Bearer " + token;
        return this;
    }

    FakeApiServer requireBasic(String user, String password) {
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

    /** Stops the server and closes its connections. */
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

    /** All requests in order, including those with wrong credentials. */
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
                sendResponse(exchange, 401, "{\"kind\":\"Status\",\"code\":401,\"message\":\"Unauthorized\"}");
                return;
            }
            handler.handle(exchange);
        } catch (RuntimeException e) {
            throw asError(e);
        }
    }

    /**
     * Turns an exception into an error, because the JDK's server ignores exceptions of handlers; an error fails the
     * test.
     */
    static AssertionError asError(RuntimeException failure) {
        return new AssertionError("a handler failed", failure);
    }

    private HttpsConfigurator configurator() {
        return new HttpsConfigurator(new Current(this)) {
            @Override
            public void configure(HttpsParameters parameters) {
                SSLParameters all = requireNonNull(context).getDefaultSSLParameters();
                all.setNeedClientAuth(requiresClientCertificate);
                parameters.setSSLParameters(all);
            }
        };
    }

    /** Delegates to the current context, because the server keeps the instance that it was started with. */
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
        KeyManagerFactory keyManagers = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keyManagers.init(keys, password);
        KeyStore authorities = KeyStore.getInstance("PKCS12");
        authorities.load(null, password);
        if (clientAuthority != null) {
            authorities.setCertificateEntry(
                    "ca", Pem.certificates(clientAuthority).get(0));
        }
        TrustManagerFactory trusted = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trusted.init(authorities);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keyManagers.getKeyManagers(), trusted.getTrustManagers(), null);
        return context;
    }
}
