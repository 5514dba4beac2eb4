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
 * Sends requests to API servers over the JDK's HTTP client: one client for each server and certificate, waits that have an
 * end, and failures that say what is wrong. Any thread may use it.
 */
final class Transport {
    static {
        // Read by the JDK's client when it is first used. It keeps Host for itself unless this says otherwise.
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
     * What one connection goes to.
     *
     * @param name for people: the URL, and the address where it is one of several
     * @param dialled the URL with the address in it
     */
    record Target(Server server, String name, URI dialled) {}

    /** What is sent, and how; null where nothing is. */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    record Body(String method, String contentType, byte[] bytes) {}

    private final String tlsServerName;
    private final Credentials credentials;
    private final Tls tls;
    private final ApiClient.Environment environment;
    private final Map<Server, HttpClient> clients = new HashMap<>();
    private @Nullable SSLContext context;
    final OpenRequests exchanges = new OpenRequests();
    private volatile boolean closed;

    Transport(ApiAccess access, ApiClient.Environment environment) {
        tlsServerName = access.tlsServerName();
        credentials = access.credentials();
        tls = access.tls();
        this.environment = environment;
    }

    /**
     * The client for a server, with the certificates of now.
     *
     * @param atOnce whether to look at their files even if that was done a moment ago
     */
    HttpClient client(Server server, boolean atOnce) throws IOException {
        Identity identity = credentials.identity();
        SSLContext now = tls.context(identity, environment.nanoTime().getAsLong(), atOnce);
        synchronized (this) {
            if (closed) {
                throw new IOException("closed");
            }
            if (!now.equals(context)) {
                // New connections have the new files; requests under way keep the client that they were sent with.
                clients.values().forEach(HttpClientShutdown::afterLastRequest);
                clients.clear();
                context = now;
            }
            return clients.computeIfAbsent(server, each -> made(each, now));
        }
    }

    private HttpClient made(Server server, SSLContext now) {
        SSLParameters parameters = new SSLParameters();
        String name = tlsServerName.isEmpty() ? server.host() : tlsServerName;
        if (IpAddress.parse(name) == null) {
            // Used by the JDK where an address is dialled; where a name is, it sends that.
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

    /** Its idle connections may be as dead as the one that was silent, and so may its own thread. */
    synchronized void forget(Server server, HttpClient client) {
        if (clients.remove(server, client)) {
            HttpClientShutdown.afterLastRequest(client);
        }
    }

    /** The same for all clients of the servers whose name begins with this URL. */
    synchronized void forget(String server) {
        clients.entrySet().removeIf(each -> {
            boolean matches = server.startsWith(each.getKey().url().toString());
            if (matches) {
                HttpClientShutdown.afterLastRequest(each.getValue());
            }
            return matches;
        });
    }

    @SuppressWarnings("FutureReturnValueIgnored") // of thenRun: to cancel throws nothing
    ApiResponse send(
            HttpClient client,
            Target target,
            String pathAndQuery,
            @Nullable Body body,
            @Nullable String authorization,
            Duration within)
            throws IOException {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(target.dialled() + pathAndQuery))
                .header("Accept", "application/json")
                .header("User-Agent", "sluice");
        if (authorization != null) {
            request.header("Authorization", authorization);
        }
        if (!target.dialled().equals(target.server().url())) {
            request.header("Host", target.server().url().getRawAuthority());
        }
        if (body != null) {
            request.header("Content-Type", body.contentType())
                    .method(body.method(), HttpRequest.BodyPublishers.ofByteArray(body.bytes()));
        }
        CompletableFuture<Void> givenUp = new CompletableFuture<>();
        // Before it goes out: the server may have it, and leaveSilent be asked, before the next line here runs.
        OpenRequests.Request owed = new OpenRequests.Request(
                target.name(), environment.nanoTime().getAsLong(), () -> givenUp.complete(null));
        exchanges.add(owed);
        try {
            CompletableFuture<HttpResponse<InputStream>> future = sent(client, target.server(), request.build());
            givenUp.thenRun(() -> future.cancel(true));
            return answer(client, target, await(future, within));
        } catch (NoAnswerException e) {
            // The client reports its own end of a request as any failure, which would be a reason to ask once more.
            if (givenUp.isDone()) {
                throw new NoAnswerException("no answer, nor to the question whether it is alive", e, true, false);
            }
            throw e;
        } finally {
            exchanges.remove(owed);
        }
    }

    private synchronized CompletableFuture<HttpResponse<InputStream>> sent(
            HttpClient client, Server server, HttpRequest request) throws NoAnswerException {
        // Under the lock, so that a client that is shut down either has the request already or never gets it.
        if (!client.equals(clients.get(server))) {
            throw new NoAnswerException("the HTTP client was replaced", null, false, true);
        }
        try {
            return client.sendAsync(request, BodyHandlers.ofInputStream());
        } catch (RejectedExecutionException e) {
            // Its own thread has ended, and it takes nothing any more.
            throw new NoAnswerException("the HTTP client has ended", e, false, false);
        }
    }

    /** Not the request's own timeout: from Java 26 on that would end a watch, too. */
    private HttpResponse<InputStream> await(CompletableFuture<HttpResponse<InputStream>> future, Duration within)
            throws IOException {
        try {
            if (closed) {
                throw new IOException("closed");
            }
            return future.get(within.toNanos(), TimeUnit.NANOSECONDS);
        } catch (TimeoutException e) {
            throw new NoAnswerException("no answer within " + seconds(within), e, true, false);
        } catch (CancellationException e) {
            if (closed) {
                throw new IOException("closed", e);
            }
            throw explained(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw (IOException) new InterruptedIOException("interrupted").initCause(e);
        } catch (ExecutionException e) {
            if (closed) {
                throw new IOException("closed", e);
            }
            throw explained(e.getCause() == null ? e : e.getCause());
        } finally {
            // Of no effect if it is done.
            future.cancel(true);
        }
    }

    private ApiResponse answer(HttpClient client, Target target, HttpResponse<InputStream> response)
            throws IOException {
        Optional<Duration> retryAfter = response.headers()
                .firstValue("Retry-After")
                .filter(text -> text.matches("\\d{1,6}"))
                .map(text -> Duration.ofSeconds(Long.parseLong(text)));
        ApiResponse[] self = new ApiResponse[1];
        // The client must live as long as the answer, even if a newer one has taken its place.
        HttpClient[] holds = {client};
        LongSupplier nanoTime = environment.nanoTime();
        ApiResponse answer =
                new ApiResponse(response.statusCode(), target.name(), retryAfter, response.body(), nanoTime, () -> {
                    holds[0] = null;
                    exchanges.remove(self[0]);
                });
        self[0] = answer;
        exchanges.add(answer);
        if (closed) {
            answer.close();
            throw new IOException("closed");
        }
        return answer;
    }

    static String seconds(Duration time) {
        return time.toMillis() % 1000 == 0 ? time.toSeconds() + " s" : time.toMillis() + " ms";
    }

    private NoAnswerException explained(Throwable failure) {
        if (failure instanceof HttpConnectTimeoutException) {
            String message = "no connection within " + seconds(environment.connectTimeout());
            return new NoAnswerException(message, failure, false, false);
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
            message += "; trusted are the authorities in " + (authority == null ? "this Java" : authority.name());
        }
        // A server that does not take our certificate may hang up without a word.
        return new NoAnswerException(
                secure ? "TLS: " + message : message, failure, !connecting && !secure, !connecting);
    }

    boolean isClosed() {
        return closed;
    }

    /** Ends all that is going on. */
    void close() {
        synchronized (this) {
            closed = true;
        }
        exchanges.endAll();
        synchronized (this) {
            clients.values().forEach(HttpClientShutdown::now);
            clients.clear();
        }
    }

    /** One server did not answer; whether the request may have arrived there, and whether that may be for want of the
     * right certificates. */
    static final class NoAnswerException extends IOException {
        private static final long serialVersionUID = 1L;

        final boolean arrived;
        final boolean certificates;

        NoAnswerException(String message, @Nullable Throwable cause, boolean arrived, boolean certificates) {
            super(message, cause);
            this.arrived = arrived;
            this.certificates = certificates;
        }
    }
}
