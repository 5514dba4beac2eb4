package io.sluice.apiserver;

import io.sluice.apiserver.ApiAccess.Server;
import io.sluice.apiserver.Pem.Identity;
import io.sluice.document.Problem;
import io.sluice.model.IpAddress;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.URI;
import java.net.UnknownHostException;
import java.net.http.HttpClient;
import java.net.http.HttpConnectTimeoutException;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.cert.CertPathBuilderException;
import java.time.Duration;
import java.util.ArrayList;
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
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Asks API servers over HTTP: says who we are, moves to the next server when one does not answer, and takes over files
 * that were replaced. Any thread may use it.
 *
 * <p>A name with several addresses is several servers. They are dialled by address, which the JDK's client allows while
 * the server still sees its name: in TLS (SNI) through the parameters, in HTTP through the Host header.
 */
final class ApiClient implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(ApiClient.class);
    private static final int UNAUTHORIZED = 401;
    private static final int SERVER_ERROR = 500;

    static {
        // The JDK keeps Host for itself unless told otherwise before its client is first used.
        String property = "jdk.httpclient.allowRestrictedHeaders";
        String allowed = System.getProperty(property, "");
        if (!allowed.contains("host")) {
            System.setProperty(property, allowed.isEmpty() ? "host" : allowed + ",host");
        }
    }

    /** What differs in tests. */
    record Environment(Duration connectTimeout, Duration headersTimeout, LongSupplier nanoTime, Resolver resolver) {
        static Environment usual() {
            return new Environment(
                    Duration.ofSeconds(5), Duration.ofSeconds(10), System::nanoTime, InetAddress::getAllByName);
        }
    }

    /** From names to addresses. */
    @FunctionalInterface
    interface Resolver {
        InetAddress[] resolve(String host) throws UnknownHostException;
    }

    /**
     * What one connection goes to.
     *
     * @param name for people: the URL, and the address where it is one of several
     * @param dialled the URL with the address in it
     */
    private record Target(Server server, String name, URI dialled) {}

    private final List<Server> servers;
    private final String tlsServerName;
    private final Credentials credentials;
    private final Tls tls;
    private final Environment environment;
    private final Failover failover;
    private final Map<Server, HttpClient> clients = new HashMap<>();
    private final Exchanges exchanges = new Exchanges();
    private @Nullable SSLContext context;
    /** Whether there was more than one server to choose from when one was last asked. */
    private volatile boolean several;

    /** What a server last answered 401 to. */
    private volatile @Nullable String refused;

    private volatile boolean closed;

    ApiClient(ApiAccess access) {
        this(access, Environment.usual());
    }

    ApiClient(ApiAccess access, Environment environment) {
        servers = access.servers();
        tlsServerName = access.tlsServerName();
        credentials = access.credentials();
        tls = access.tls();
        this.environment = environment;
        failover = new Failover(environment.nanoTime());
    }

    /**
     * Asks until a server answers, each at most once, and returns with the headers.
     *
     * @param pathAndQuery beginning with a slash
     * @return the answer, whatever its status; of several servers, one of theirs that is no server's error if there is
     * @throws NoServerException if none answered, naming each and why
     * @throws IOException if this is closed, or who we are cannot be found out
     */
    Answer get(String pathAndQuery) throws IOException {
        return ask(pathAndQuery, null, environment.headersTimeout());
    }

    /**
     * The same, for what a busy server needs time to put together: it may take six times as long, as long as the server
     * answers {@link #leaveSilent smaller questions} meanwhile.
     */
    Answer getLarge(String pathAndQuery) throws IOException {
        return ask(pathAndQuery, null, environment.headersTimeout().multipliedBy(6));
    }

    /** The same; but once the request may have arrived, no other server gets it. */
    Answer post(String path, byte[] json) throws IOException {
        return ask(path, new Body("POST", "application/json", json), environment.headersTimeout());
    }

    /** The same; changes the fields of an object that are given (RFC 7386). */
    Answer patch(String path, byte[] json) throws IOException {
        return ask(path, new Body("PATCH", "application/merge-patch+json", json), environment.headersTimeout());
    }

    /** What is sent, and how; null where nothing is. */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    private record Body(String method, String contentType, byte[] bytes) {}

    /** Told that a server fell silent: the others come first for a while, and it gets new connections. */
    void distrust(String server) {
        failover.failed(server);
        synchronized (this) {
            clients.keySet().removeIf(each -> server.startsWith(each.url().toString()));
        }
    }

    /**
     * Asks the servers that have said nothing at all for a while for their version, each once, and leaves those that do
     * not answer: whatever they owe ends. A watch may well be silent that long; where there is no other server to turn to,
     * only an answer that does not begin makes a server suspect.
     *
     * @param within how long an answer may take
     */
    void leaveSilent(Duration silence, Duration within) {
        long now = environment.nanoTime().getAsLong();
        List<String> silent = exchanges.silent(now, silence.toNanos(), several);
        if (silent.isEmpty()) {
            return;
        }
        for (Target target : targets(new ArrayList<>())) {
            if (!silent.contains(target.name())) {
                continue;
            }
            try (Answer answer = ask(target, "/version", null, within)) {
                // To the end, so that its connection can be used again.
                answer.bytes(65_536, within);
            } catch (IOException e) {
                long then = environment.nanoTime().getAsLong();
                if (closed
                        || !exchanges.silent(then, silence.toNanos(), several).contains(target.name())) {
                    continue;
                }
                log.warn(
                        "API server {} is left: it has sent nothing for {} and does not answer now ({})",
                        target.name(),
                        seconds(silence),
                        Problem.oneLine(String.valueOf(e.getMessage())));
                distrust(target.name());
                exchanges.end(target.name());
            }
        }
    }

    /** Ends all that is going on. */
    @Override
    public void close() {
        closed = true;
        exchanges.endAll();
        synchronized (this) {
            clients.clear();
        }
    }

    private Answer ask(String pathAndQuery, @Nullable Body body, Duration within) throws IOException {
        List<String> failures = new ArrayList<>();
        Answer failing = null;
        for (Target target : failover.inOrder(targets(failures), Target::name)) {
            try {
                Answer answer = ask(target, pathAndQuery, body, within);
                if (answer.status() < SERVER_ERROR) {
                    failover.works(target.name());
                    close(failing);
                    return answer;
                }
                failover.failed(target.name());
                close(failing);
                failing = answer;
            } catch (NoAnswerException e) {
                failover.failed(target.name());
                failures.add(target.name() + ": " + e.getMessage());
                if (e.arrived && body != null) {
                    break;
                }
            }
        }
        if (failing != null) {
            return failing;
        }
        throw new NoServerException(Problem.oneLine("no API server answers: " + String.join("; ", failures)));
    }

    private static void close(@Nullable Answer answer) throws IOException {
        if (answer != null) {
            answer.close();
        }
    }

    private List<Target> targets(List<String> failures) {
        List<Target> targets = new ArrayList<>();
        for (Server server : servers) {
            String url = server.url().toString();
            boolean literal = IpAddress.parse(server.host()) != null;
            boolean asIs = server.proxy() != null || (literal && tlsServerName.isEmpty());
            try {
                InetAddress[] addresses =
                        asIs ? new InetAddress[0] : environment.resolver().resolve(server.host());
                if (addresses.length == 0 || (addresses.length == 1 && tlsServerName.isEmpty())) {
                    targets.add(new Target(server, url, server.url()));
                    continue;
                }
                for (InetAddress address : addresses) {
                    String name = addresses.length == 1 ? url : url + " (" + address.getHostAddress() + ")";
                    targets.add(new Target(server, name, dialled(server.url(), address)));
                }
            } catch (UnknownHostException e) {
                failures.add(url + ": the name " + server.host() + " cannot be resolved");
            }
        }
        several = targets.size() > 1;
        return targets;
    }

    private static URI dialled(URI url, InetAddress address) {
        String text = address.getHostAddress();
        String host = text.indexOf(':') < 0 ? text : "[" + text.replaceFirst("%.*", "") + "]";
        String port = url.getPort() < 0 ? "" : ":" + url.getPort();
        return URI.create(url.getScheme() + "://" + host + port + url.getRawPath());
    }

    /** Whether the token that a server refused last has been replaced since. */
    boolean hasOtherCredentials() {
        return credentials.isReplaced(refused, environment.nanoTime().getAsLong());
    }

    /** What the servers are shown, for people. */
    String credentials() {
        return credentials.name();
    }

    /** Asks one server, once more if the credentials or the trust that failed can be had anew. */
    private Answer ask(Target target, String pathAndQuery, @Nullable Body body, Duration within) throws IOException {
        String authorization = credentials.authorization(environment.nanoTime().getAsLong());
        HttpClient client = client(target.server(), false);
        Answer answer;
        try {
            answer = send(client, target, pathAndQuery, body, authorization, within);
        } catch (NoAnswerException e) {
            HttpClient renewed =
                    e.certificates && (body == null || !e.arrived) ? client(target.server(), true) : client;
            if (renewed == client) {
                forget(target.server(), client);
                throw e;
            }
            answer = send(renewed, target, pathAndQuery, body, authorization, within);
        }
        if (answer.status() != UNAUTHORIZED) {
            return answer;
        }
        refused = authorization;
        if (!credentials.refused(authorization, environment.nanoTime().getAsLong())) {
            return answer;
        }
        answer.close();
        authorization = credentials.authorization(environment.nanoTime().getAsLong());
        answer = send(client(target.server(), false), target, pathAndQuery, body, authorization, within);
        if (answer.status() == UNAUTHORIZED) {
            refused = authorization;
        }
        return answer;
    }

    private HttpClient client(Server server, boolean atOnce) throws IOException {
        Identity identity = credentials.identity();
        SSLContext now = tls.context(identity, environment.nanoTime().getAsLong(), atOnce);
        synchronized (this) {
            if (!now.equals(context)) {
                // New connections have the new files; requests under way keep the client that they were sent with.
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
    private synchronized void forget(Server server, HttpClient client) {
        clients.remove(server, client);
    }

    @SuppressWarnings("FutureReturnValueIgnored") // of thenRun: to cancel throws nothing
    private Answer send(
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
        Exchanges.Request owed =
                new Exchanges.Request(target.name(), environment.nanoTime().getAsLong(), () -> givenUp.complete(null));
        exchanges.add(owed);
        try {
            CompletableFuture<HttpResponse<InputStream>> future = sent(client, request.build());
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

    private static CompletableFuture<HttpResponse<InputStream>> sent(HttpClient client, HttpRequest request)
            throws NoAnswerException {
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

    private Answer answer(HttpClient client, Target target, HttpResponse<InputStream> response) throws IOException {
        Optional<Duration> retryAfter = response.headers()
                .firstValue("Retry-After")
                .filter(text -> text.matches("\\d{1,6}"))
                .map(text -> Duration.ofSeconds(Long.parseLong(text)));
        Answer[] self = new Answer[1];
        // The client must live as long as the answer, even if a newer one has taken its place.
        HttpClient[] holds = {client};
        LongSupplier nanoTime = environment.nanoTime();
        Answer answer = new Answer(response.statusCode(), target.name(), retryAfter, response.body(), nanoTime, () -> {
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

    private static String seconds(Duration time) {
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
            Material authority = tls.authority();
            message += "; trusted are the authorities in " + (authority == null ? "this Java" : authority.name());
        }
        // A server that does not take our certificate may hang up without a word.
        return new NoAnswerException(
                secure ? "TLS: " + message : message, failure, !connecting && !secure, !connecting);
    }

    /** One server did not answer; whether the request may have arrived there, and whether that may be for want of the
     * right certificates. */
    private static final class NoAnswerException extends IOException {
        private static final long serialVersionUID = 1L;

        private final boolean arrived;
        private final boolean certificates;

        NoAnswerException(String message, Throwable cause, boolean arrived, boolean certificates) {
            super(message, cause);
            this.arrived = arrived;
            this.certificates = certificates;
        }
    }
}
