package io.sluice.apiserver;

import io.sluice.apiserver.ApiAccess.Server;
import io.sluice.apiserver.Transport.Body;
import io.sluice.apiserver.Transport.NoAnswerException;
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

    private final List<Server> servers;
    private final String tlsServerName;
    private final Credentials credentials;
    private final Environment environment;
    private final Failover failover;
    private final Transport transport;
    /** Whether there was more than one server to choose from when one was last asked. */
    private volatile boolean several;

    /** What a server last answered 401 to. */
    private volatile @Nullable String refused;

    ApiClient(ApiAccess access) {
        this(access, Environment.usual());
    }

    ApiClient(ApiAccess access, Environment environment) {
        servers = access.servers();
        tlsServerName = access.tlsServerName();
        credentials = access.credentials();
        this.environment = environment;
        transport = new Transport(access, environment);
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
    ApiResponse get(String pathAndQuery) throws IOException {
        return ask(pathAndQuery, null, environment.headersTimeout());
    }

    /**
     * The same, for what a busy server needs time to put together: it may take six times as long, as long as the server
     * answers {@link #leaveSilent smaller questions} meanwhile.
     */
    ApiResponse getLarge(String pathAndQuery) throws IOException {
        return ask(pathAndQuery, null, environment.headersTimeout().multipliedBy(6));
    }

    /** The same; but once the request may have arrived, no other server gets it. */
    ApiResponse post(String path, byte[] json) throws IOException {
        return ask(path, new Body("POST", "application/json", json), environment.headersTimeout());
    }

    /** The same; changes the fields of an object that are given (RFC 7386). */
    ApiResponse patch(String path, byte[] json) throws IOException {
        return ask(path, new Body("PATCH", "application/merge-patch+json", json), environment.headersTimeout());
    }

    /** Told that a server fell silent: the others come first for a while, and it gets new connections. */
    void distrust(String server) {
        failover.failed(server);
        transport.forget(server);
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
        List<String> silent = transport.exchanges.silent(now, silence.toNanos(), several);
        if (silent.isEmpty()) {
            return;
        }
        for (Target target : targets(new ArrayList<>())) {
            if (!silent.contains(target.name())) {
                continue;
            }
            try (ApiResponse answer = ask(target, "/version", null, within)) {
                // To the end, so that its connection can be used again.
                answer.bytes(ApiLimits.MAX_VERSION_BYTES, within);
            } catch (IOException e) {
                long then = environment.nanoTime().getAsLong();
                if (transport.isClosed()
                        || !transport
                                .exchanges
                                .silent(then, silence.toNanos(), several)
                                .contains(target.name())) {
                    continue;
                }
                log.warn(
                        "API server {} is left: it has sent nothing for {} and does not answer now ({})",
                        target.name(),
                        Transport.seconds(silence),
                        Problem.oneLine(String.valueOf(e.getMessage())));
                distrust(target.name());
                transport.exchanges.end(target.name());
            }
        }
    }

    /** Ends all that is going on. */
    @Override
    public void close() {
        transport.close();
    }

    private ApiResponse ask(String pathAndQuery, @Nullable Body body, Duration within) throws IOException {
        List<String> failures = new ArrayList<>();
        ApiResponse failing = null;
        for (Target target : failover.inOrder(targets(failures), Target::name)) {
            try {
                ApiResponse answer = ask(target, pathAndQuery, body, within);
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

    private static void close(@Nullable ApiResponse answer) throws IOException {
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
    private ApiResponse ask(Target target, String pathAndQuery, @Nullable Body body, Duration within)
            throws IOException {
        String authorization = credentials.authorization(environment.nanoTime().getAsLong());
        HttpClient client = transport.client(target.server(), false);
        ApiResponse answer;
        try {
            answer = transport.send(client, target, pathAndQuery, body, authorization, within);
        } catch (NoAnswerException e) {
            HttpClient renewed =
                    e.certificates && (body == null || !e.arrived) ? transport.client(target.server(), true) : client;
            if (renewed == client) {
                transport.forget(target.server(), client);
                throw e;
            }
            answer = transport.send(renewed, target, pathAndQuery, body, authorization, within);
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
        answer = transport.send(
                transport.client(target.server(), false), target, pathAndQuery, body, authorization, within);
        if (answer.status() == UNAUTHORIZED) {
            refused = authorization;
        }
        return answer;
    }
}
