package io.sluice.apiserver;

import io.sluice.apiserver.ApiAccess.Server;
import io.sluice.apiserver.Transport.Body;
import io.sluice.apiserver.Transport.NoResponseException;
import io.sluice.apiserver.Transport.Target;
import io.sluice.document.Problem;
import io.sluice.model.IpAddress;
import java.io.IOException;
import java.net.InetAddress;
import java.net.URI;
import java.net.UnknownHostException;
import java.net.http.HttpClient;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * HTTP client for API servers: sends credentials, fails over to the next server, and reloads credential and CA files.
 * Thread-safe.
 *
 * <p>A host name that resolves to several addresses counts as several servers, one for each address. The server still
 * sees the host name in SNI (set through the TLS parameters) and in the Host header.
 */
final class ApiClient implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(ApiClient.class);
    private static final int UNAUTHORIZED = 401;
    private static final int SERVER_ERROR = 500;

    /** Timeouts, clock and name resolution; tests replace them. */
    record Environment(Duration connectTimeout, Duration headersTimeout, LongSupplier nanoTime, Resolver resolver) {
        static Environment defaults() {
            return new Environment(
                    Duration.ofSeconds(5), Duration.ofSeconds(10), System::nanoTime, InetAddress::getAllByName);
        }
    }

    /** Resolves host names. */
    @FunctionalInterface
    interface Resolver {
        InetAddress[] resolve(String host) throws UnknownHostException;
    }

    private final List<Server> servers;
    private final String tlsServerName;
    private final Credentials credentials;

    /** What to change if no server responds; empty after the first response, which shows that the address is right. */
    private volatile String advice;

    private final Environment environment;
    private final Failover failover;
    private final Transport transport;
    /** Whether there was more than one server to choose from at the last request. */
    private volatile boolean hasAlternatives;

    /** The last Authorization header that a server rejected with 401. */
    private volatile @Nullable String rejectedAuthorization;

    ApiClient(ApiAccess access) {
        this(access, Environment.defaults());
    }

    ApiClient(ApiAccess access, Environment environment) {
        servers = access.servers();
        tlsServerName = access.tlsServerName();
        credentials = access.credentials();
        advice = access.advice();
        this.environment = environment;
        transport = new Transport(access, environment);
        failover = new Failover(environment.nanoTime());
    }

    /**
     * Sends a GET request to one server after another until one responds. Returns when the headers have arrived.
     *
     * @param pathAndQuery path and query, starting with a slash
     * @return the first response with a status below 500; if there is none, the last response
     * @throws NoServerException if no server responded; the message names each server and the reason
     * @throws IOException if this client is closed, or the credentials are unavailable
     */
    ApiResponse get(String pathAndQuery) throws IOException {
        return send(pathAndQuery, null, environment.headersTimeout());
    }

    /**
     * Like {@link #get}, but with six times the timeout, for responses that a busy server needs time to prepare. Fails
     * earlier if the server does not respond to {@link #probeSilentServers probes}.
     */
    ApiResponse getLarge(String pathAndQuery) throws IOException {
        return send(pathAndQuery, null, environment.headersTimeout().multipliedBy(6));
    }

    /** Sends a POST request. Fails over after a missing response only if the request cannot have arrived. */
    ApiResponse post(String path, byte[] json) throws IOException {
        return send(path, new Body("POST", "application/json", json), environment.headersTimeout());
    }

    /** Sends a JSON merge patch (RFC 7386). Fails over under the same condition as {@link #post}. */
    ApiResponse patch(String path, byte[] json) throws IOException {
        return send(path, new Body("PATCH", "application/merge-patch+json", json), environment.headersTimeout());
    }

    /** Marks a server as failed: it is tried last for a while, and its connections are not reused. */
    void markFailed(String server) {
        failover.failed(server);
        transport.forget(server);
    }

    /**
     * Sends a version request to each silent server and ends all open requests to servers that do not respond to it. If
     * there is only one server, an idle watch does not count as silence; only a request without any response does.
     *
     * @param silence time without any data after which a server is probed
     * @param timeout timeout of a probe
     */
    void probeSilentServers(Duration silence, Duration timeout) {
        long now = environment.nanoTime().getAsLong();
        List<String> silentServers = transport.openRequests.silentServers(now, silence.toNanos(), hasAlternatives);
        if (silentServers.isEmpty()) {
            return;
        }
        for (Target target : targets(new ArrayList<>())) {
            if (!silentServers.contains(target.name())) {
                continue;
            }
            try (ApiResponse response = send(target, "/version", null, timeout)) {
                // Read the body to its end so that the connection can be reused.
                response.bytes(ApiLimits.MAX_VERSION_BYTES, timeout);
            } catch (IOException e) {
                long later = environment.nanoTime().getAsLong();
                if (transport.isClosed()
                        || !transport
                                .openRequests
                                .silentServers(later, silence.toNanos(), hasAlternatives)
                                .contains(target.name())) {
                    continue;
                }
                log.warn(
                        "API server {} is unresponsive: no data for {}, and a probe failed ({}); ending its requests"
                                + " and retrying",
                        target.name(),
                        Transport.seconds(silence),
                        Problem.oneLine(String.valueOf(e.getMessage())));
                markFailed(target.name());
                transport.openRequests.end(target.name());
            }
        }
    }

    /** Cancels all requests and rejects new ones. */
    @Override
    public void close() {
        transport.close();
    }

    private ApiResponse send(String pathAndQuery, @Nullable Body body, Duration timeout) throws IOException {
        List<String> failures = new ArrayList<>();
        ApiResponse errorResponse = null;
        for (Target target : failover.inOrder(targets(failures), Target::name)) {
            try {
                ApiResponse response = send(target, pathAndQuery, body, timeout);
                advice = "";
                if (response.status() < SERVER_ERROR) {
                    failover.succeeded(target.name());
                    close(errorResponse);
                    return response;
                }
                failover.failed(target.name());
                close(errorResponse);
                errorResponse = response;
            } catch (NoResponseException e) {
                failover.failed(target.name());
                failures.add(target.name() + ": " + e.getMessage());
                if (e.mayHaveArrived && body != null) {
                    break;
                }
            }
        }
        if (errorResponse != null) {
            return errorResponse;
        }
        throw new NoServerException(Problem.oneLine(
                "no API server responded: " + String.join("; ", failures) + (advice.isEmpty() ? "" : "; " + advice)));
    }

    private static void close(@Nullable ApiResponse response) throws IOException {
        if (response != null) {
            response.close();
        }
    }

    private List<Target> targets(List<String> failures) {
        List<Target> targets = new ArrayList<>();
        for (Server server : servers) {
            String url = server.url().toString();
            boolean literal = IpAddress.parse(server.host()) != null;
            boolean useUrlAsIs = server.proxy() != null || (literal && tlsServerName.isEmpty());
            try {
                InetAddress[] addresses =
                        useUrlAsIs ? new InetAddress[0] : environment.resolver().resolve(server.host());
                if (addresses.length == 0 || (addresses.length == 1 && tlsServerName.isEmpty())) {
                    targets.add(new Target(server, url, server.url()));
                    continue;
                }
                for (InetAddress address : addresses) {
                    String name = addresses.length == 1 ? url : url + " (" + address.getHostAddress() + ")";
                    targets.add(new Target(server, name, connectUrl(server.url(), address)));
                }
            } catch (UnknownHostException e) {
                failures.add(url + ": cannot resolve host name " + server.host());
            }
        }
        hasAlternatives = targets.size() > 1;
        return targets;
    }

    private static URI connectUrl(URI url, InetAddress address) {
        String text = address.getHostAddress();
        String host = text.indexOf(':') < 0 ? text : "[" + text.replaceFirst("%.*", "") + "]";
        String port = url.getPort() < 0 ? "" : ":" + url.getPort();
        return URI.create(url.getScheme() + "://" + host + port + url.getRawPath());
    }

    /** Whether the token that a server last rejected with 401 has been replaced since then. */
    boolean hasNewCredentials() {
        return credentials.isReplaced(
                rejectedAuthorization, environment.nanoTime().getAsLong());
    }

    /** Description of the credentials sent to the servers, for messages. */
    String credentialsDescription() {
        return credentials.description();
    }

    /** Sends a request to one server; repeats it if reloaded credentials or certificates may help. */
    private ApiResponse send(Target target, String pathAndQuery, @Nullable Body body, Duration timeout)
            throws IOException {
        String authorization = credentials.authorization(environment.nanoTime().getAsLong());
        HttpClient client = transport.client(target.server(), false);
        ApiResponse response;
        try {
            response = transport.send(client, target, pathAndQuery, body, authorization, timeout);
        } catch (NoResponseException e) {
            HttpClient renewed = e.reloadMayHelp && (body == null || !e.mayHaveArrived)
                    ? transport.client(target.server(), true)
                    : client;
            if (renewed == client) {
                transport.forget(target.server(), client);
                throw e;
            }
            response = transport.send(renewed, target, pathAndQuery, body, authorization, timeout);
        }
        if (response.status() != UNAUTHORIZED) {
            return response;
        }
        rejectedAuthorization = authorization;
        if (!credentials.reportRejected(authorization, environment.nanoTime().getAsLong())) {
            return response;
        }
        response.close();
        authorization = credentials.authorization(environment.nanoTime().getAsLong());
        response = transport.send(
                transport.client(target.server(), false), target, pathAndQuery, body, authorization, timeout);
        if (response.status() == UNAUTHORIZED) {
            rejectedAuthorization = authorization;
        }
        return response;
    }
}
