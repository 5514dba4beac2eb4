package io.sluice.kube;

import io.sluice.kube.ApiAccess.Server;
import io.sluice.kube.Pem.Identity;
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
import java.util.Set;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
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
 * Asks API servers over HTTP: says who we are, moves to the next server when one does not answer, and takes over files
 * that were replaced. Any thread may use it.
 *
 * <p>A name with several addresses is several servers. They are dialled by address, which the JDK's client allows while
 * the server still sees its name: in TLS (SNI) through the parameters, in HTTP through the Host header.
 */
final class ApiClient implements AutoCloseable {
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
    private final Set<Answer> open = ConcurrentHashMap.newKeySet();
    private final Set<Runnable> cancels = ConcurrentHashMap.newKeySet();
    private @Nullable SSLContext context;
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
     * @throws IOException if none answered, naming each and why
     */
    Answer get(String pathAndQuery) throws IOException {
        return ask(pathAndQuery, null, environment.headersTimeout());
    }

    /** The same, for what a server puts together before it says anything: it may take three times as long. */
    Answer getLarge(String pathAndQuery) throws IOException {
        return ask(pathAndQuery, null, environment.headersTimeout().multipliedBy(3));
    }

    /** The same; but once the request may have arrived, no other server gets it. */
    Answer post(String path, byte[] json) throws IOException {
        return ask(path, json, environment.headersTimeout());
    }

    /** Told that a server fell silent: the others come first for a while, and it gets new connections. */
    void distrust(String server) {
        failover.failed(server);
        synchronized (this) {
            clients.keySet().removeIf(each -> server.startsWith(each.url().toString()));
        }
    }

    /** Ends all that is going on. */
    @Override
    public void close() throws IOException {
        closed = true;
        cancels.forEach(Runnable::run);
        for (Answer answer : open) {
            answer.close();
        }
        synchronized (this) {
            clients.clear();
        }
    }

    private Answer ask(String pathAndQuery, byte @Nullable [] json, Duration within) throws IOException {
        List<String> failures = new ArrayList<>();
        Answer failing = null;
        for (Target target : failover.inOrder(targets(failures), Target::name)) {
            try {
                Answer answer = ask(target, pathAndQuery, json, within);
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
                if (e.arrived && json != null) {
                    break;
                }
            }
        }
        if (failing != null) {
            return failing;
        }
        throw new IOException(Problem.oneLine("no API server answers: " + String.join("; ", failures)));
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
        return targets;
    }

    private static URI dialled(URI url, InetAddress address) {
        String text = address.getHostAddress();
        String host = text.indexOf(':') < 0 ? text : "[" + text.replaceFirst("%.*", "") + "]";
        String port = url.getPort() < 0 ? "" : ":" + url.getPort();
        return URI.create(url.getScheme() + "://" + host + port + url.getRawPath());
    }

    /** What the servers are shown, for people. */
    String credentials() {
        return credentials.name();
    }

    /** Asks one server, once more if the credentials or the trust that failed can be had anew. */
    private Answer ask(Target target, String pathAndQuery, byte @Nullable [] json, Duration within) throws IOException {
        String authorization = credentials.authorization(environment.nanoTime().getAsLong());
        HttpClient client = client(target.server(), false);
        Answer answer;
        try {
            answer = send(client, target, pathAndQuery, json, authorization, within);
        } catch (NoAnswerException e) {
            HttpClient renewed =
                    e.certificates && (json == null || !e.arrived) ? client(target.server(), true) : client;
            if (renewed == client) {
                forget(target.server(), client);
                throw e;
            }
            answer = send(renewed, target, pathAndQuery, json, authorization, within);
        }
        if (answer.status() != UNAUTHORIZED
                || !credentials.refused(authorization, environment.nanoTime().getAsLong())) {
            return answer;
        }
        answer.close();
        authorization = credentials.authorization(environment.nanoTime().getAsLong());
        return send(client(target.server(), false), target, pathAndQuery, json, authorization, within);
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

    private Answer send(
            HttpClient client,
            Target target,
            String pathAndQuery,
            byte @Nullable [] json,
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
        if (json != null) {
            request.header("Content-Type", "application/json").POST(HttpRequest.BodyPublishers.ofByteArray(json));
        }
        return answer(client, target, await(sent(client, request.build()), within));
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
        Runnable cancel = () -> future.cancel(true);
        cancels.add(cancel);
        try {
            if (closed) {
                throw new IOException("closed");
            }
            return future.get(within.toNanos(), TimeUnit.NANOSECONDS);
        } catch (TimeoutException e) {
            throw new NoAnswerException("no answer within " + seconds(within), e, true, false);
        } catch (CancellationException e) {
            throw new IOException("closed", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw (IOException) new InterruptedIOException("interrupted").initCause(e);
        } catch (ExecutionException e) {
            if (closed) {
                throw new IOException("closed", e);
            }
            throw explained(e.getCause() == null ? e : e.getCause());
        } finally {
            cancels.remove(cancel);
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
        Answer answer = new Answer(response.statusCode(), target.name(), retryAfter, response.body(), () -> {
            holds[0] = null;
            open.remove(self[0]);
        });
        self[0] = answer;
        open.add(answer);
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
