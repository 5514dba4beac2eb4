package io.sluice.apiserver;

import io.sluice.apiserver.ApiAccess.Server;
import io.sluice.apiserver.Pem.Identity;
import io.sluice.model.IpAddress;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.net.ConnectException;
import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpConnectTimeoutException;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.cert.CertPathBuilderException;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.LongSupplier;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLParameters;
import org.jspecify.annotations.Nullable;

/**
 * Sends single requests to API servers with the JDK's HTTP client: one client per server and certificate, a timeout for
 * every request, and clear error messages. Thread-safe.
 */
final class Transport {
    static {
        // The JDK reads this property when its HTTP client is first used. By default, the Host header cannot be set.
        String property = "jdk.httpclient.allowRestrictedHeaders";
        String allowed = System.getProperty(property, "");
        if (!allowed.contains("host")) {
            System.setProperty(property, allowed.isEmpty() ? "host" : allowed + ",host");
        }
        String limit = "jdk.http.maxHeaderSize";
        if (System.getProperty(limit) == null) {
            System.setProperty(limit, String.valueOf(ApiLimits.MAX_HEADER_BYTES));
        }
    }

    /**
     * Address to connect to.
     *
     * @param name name shown in messages: the server's URL, with the IP address if the host name resolves to several
     * @param connectUrl the server's URL, with an IP address as host if the host name resolves to several or a TLS
     *     server name is set
     */
    record Target(Server server, String name, URI connectUrl) {}

    /** Method and body of a request that is not a GET. */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    record Body(String method, String contentType, byte[] bytes) {}

    private final String tlsServerName;
    private final Credentials credentials;
    private final Tls tls;
    private final ApiClient.Environment environment;
    private final Map<Server, HttpClient> clients = new HashMap<>();
    private @Nullable SSLContext context;
    final OpenRequests openRequests = new OpenRequests();
    private volatile boolean closed;

    Transport(ApiAccess access, ApiClient.Environment environment) {
        tlsServerName = access.tlsServerName();
        credentials = access.credentials();
        tls = access.tls();
        this.environment = environment;
    }

    /**
     * Returns the client for a server, with the current certificates.
     *
     * @param force whether to read the files even if they were checked less than a second ago
     */
    HttpClient client(Server server, boolean force) throws IOException {
        Identity identity = credentials.identity();
        SSLContext now = tls.context(identity, environment.nanoTime().getAsLong(), force);
        synchronized (this) {
            if (closed) {
                throw new IOException("closed");
            }
            if (!now.equals(context)) {
                // Only new requests use the new certificates; open ones keep their client.
                clients.values().forEach(HttpClientShutdown::afterLastRequest);
                clients.clear();
                context = now;
            }
            return clients.computeIfAbsent(server, each -> newClient(each, now));
        }
    }

    private HttpClient newClient(Server server, SSLContext now) {
        SSLParameters parameters = new SSLParameters();
        String name = tlsServerName.isEmpty() ? server.host() : tlsServerName;
        if (IpAddress.parse(name) == null) {
            // The JDK uses this name only if the URL contains an IP address; else it sends the host name in the URL.
            parameters.setServerNames(List.of(new SNIHostName(name.replaceFirst("\\.$", ""))));
        }
        HttpClient.Builder builder = HttpClient.newBuilder()
                .version(HttpClient.Version.HTTP_1_1)
                .followRedirects(HttpClient.Redirect.NEVER)
                .connectTimeout(environment.connectTimeout())
                .sslContext(now)
                .sslParameters(parameters);
        InetSocketAddress proxy = server.proxy();
        return builder.proxy(
                        proxy == null
                                ? HttpClient.Builder.NO_PROXY
                                : ProxySelector.of(new InetSocketAddress(proxy.getHostString(), proxy.getPort())))
                .build();
    }

    /** Discards the client of a server, because its idle connections or its thread may be dead. */
    synchronized void forget(Server server, HttpClient client) {
        if (clients.remove(server, client)) {
            HttpClientShutdown.afterLastRequest(client);
        }
    }

    /** Discards the clients of all servers whose URL is a prefix of this name. */
    synchronized void forget(String server) {
        clients.entrySet().removeIf(each -> {
            boolean matches = server.startsWith(each.getKey().url().toString());
            if (matches) {
                HttpClientShutdown.afterLastRequest(each.getValue());
            }
            return matches;
        });
    }

    @SuppressWarnings("FutureReturnValueIgnored") // thenRun: cancel does not throw
    ApiResponse send(
            HttpClient client,
            Target target,
            String pathAndQuery,
            @Nullable Body body,
            @Nullable String authorization,
            Duration timeout)
            throws IOException {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(target.connectUrl() + pathAndQuery))
                .header("Accept", "application/json")
                .header("User-Agent", "sluice");
        if (authorization != null) {
            request.header("Authorization", authorization);
        }
        if (!target.connectUrl().equals(target.server().url())) {
            request.header("Host", target.server().url().getRawAuthority());
        }
        if (body != null) {
            request.header("Content-Type", body.contentType())
                    .method(body.method(), HttpRequest.BodyPublishers.ofByteArray(body.bytes()));
        }
        CompletableFuture<Void> canceled = new CompletableFuture<>();
        // Register the request before sending it, so that the check for silent servers never misses it.
        OpenRequests.Request openRequest = new OpenRequests.Request(
                target.name(), environment.nanoTime().getAsLong(), () -> canceled.complete(null));
        openRequests.add(openRequest);
        try {
            CompletableFuture<HttpResponse<InputStream>> future = sendAsync(client, target.server(), request.build());
            canceled.thenRun(() -> future.cancel(true));
            return toResponse(client, target, await(future, timeout));
        } catch (NoResponseException e) {
            // Without this check, a canceled request would look like a failure that is worth a retry.
            if (canceled.isDone()) {
                throw new NoResponseException("no response, and a probe of the server failed", e, true, false);
            }
            throw e;
        } finally {
            openRequests.remove(openRequest);
        }
    }

    private synchronized CompletableFuture<HttpResponse<InputStream>> sendAsync(
            HttpClient client, Server server, HttpRequest request) throws NoResponseException {
        // Send under the lock, so that no request is sent on a client that is being shut down.
        if (!client.equals(clients.get(server))) {
            throw new NoResponseException("the HTTP client was replaced", null, false, true);
        }
        try {
            return client.sendAsync(request, BodyHandlers.ofInputStream());
        } catch (RejectedExecutionException e) {
            // The client's selector thread has ended.
            throw new NoResponseException("the HTTP client has terminated", e, false, false);
        }
    }

    /** Waits for the response headers. Does not use the JDK's timeout, which also ends watches since Java 26. */
    private HttpResponse<InputStream> await(CompletableFuture<HttpResponse<InputStream>> future, Duration timeout)
            throws IOException {
        try {
            if (closed) {
                throw new IOException("closed");
            }
            return future.get(timeout.toNanos(), TimeUnit.NANOSECONDS);
        } catch (TimeoutException e) {
            throw new NoResponseException("no response within " + seconds(timeout), e, true, false);
        } catch (CancellationException e) {
            if (closed) {
                throw new IOException("closed", e);
            }
            throw toException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw (IOException) new InterruptedIOException("interrupted").initCause(e);
        } catch (ExecutionException e) {
            if (closed) {
                throw new IOException("closed", e);
            }
            throw toException(e.getCause() == null ? e : e.getCause());
        } finally {
            // This has no effect if the request has completed.
            future.cancel(true);
        }
    }

    private ApiResponse toResponse(HttpClient client, Target target, HttpResponse<InputStream> httpResponse)
            throws IOException {
        Optional<Duration> retryAfter = httpResponse
                .headers()
                .firstValue("Retry-After")
                .filter(text -> text.matches("\\d{1,6}"))
                .map(text -> Duration.ofSeconds(Long.parseLong(text)));
        ApiResponse[] self = new ApiResponse[1];
        // Keeps the client reachable until the response is closed, even if it has been replaced.
        HttpClient[] reference = {client};
        LongSupplier nanoTime = environment.nanoTime();
        ApiResponse response = new ApiResponse(
                httpResponse.statusCode(), target.name(), retryAfter, httpResponse.body(), nanoTime, () -> {
                    reference[0] = null;
                    openRequests.remove(self[0]);
                });
        self[0] = response;
        openRequests.add(response);
        if (closed) {
            response.close();
            throw new IOException("closed");
        }
        return response;
    }

    static String seconds(Duration time) {
        return time.toMillis() % 1000 == 0 ? time.toSeconds() + " s" : time.toMillis() + " ms";
    }

    private NoResponseException toException(Throwable failure) {
        if (failure instanceof HttpConnectTimeoutException) {
            String message = "no connection within " + seconds(environment.connectTimeout());
            return new NoResponseException(message, failure, false, false);
        }
        Throwable root = failure;
        boolean connecting = false;
        boolean secure = false;
        String message = null;
        for (Throwable each = failure; each != null; each = each.getCause()) {
            connecting |= each instanceof ConnectException;
            secure |= each instanceof SSLException;
            message = each.getMessage() == null ? message : each.getMessage();
            root = each;
        }
        if (message == null) {
            message = connecting ? "connection refused" : root.getClass().getSimpleName();
        }
        if (root instanceof CertPathBuilderException) {
            FileCredential authority = tls.authority();
            message += "; trusted CAs: " + (authority == null ? "those of the Java runtime" : authority.name());
        }
        // A server that rejects the client certificate may just close the connection.
        return new NoResponseException(
                secure ? "TLS: " + message : message, failure, !connecting && !secure, !connecting);
    }

    boolean isClosed() {
        return closed;
    }

    /** Cancels all requests and rejects new ones. */
    void close() {
        synchronized (this) {
            closed = true;
        }
        openRequests.endAll();
        synchronized (this) {
            clients.values().forEach(HttpClientShutdown::now);
            clients.clear();
        }
    }

    /**
     * Thrown if one server did not respond. Records whether the request may have arrived, and whether reloading the
     * certificates may help.
     */
    static final class NoResponseException extends IOException {
        private static final long serialVersionUID = 1L;

        final boolean mayHaveArrived;
        final boolean reloadMayHelp;

        NoResponseException(String message, @Nullable Throwable cause, boolean mayHaveArrived, boolean reloadMayHelp) {
            super(message, cause);
            this.mayHaveArrived = mayHaveArrived;
            this.reloadMayHelp = reloadMayHelp;
        }
    }
}
