package io.sluice.apiserver;

import io.sluice.apiserver.Kubeconfig.Context;
import io.sluice.apiserver.Kubeconfig.Section;
import io.sluice.document.FieldReader;
import io.sluice.document.Problem;
import java.io.File;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Access to the API servers: URLs, credentials and TLS settings, read from the same sources that kubectl and kube-proxy
 * use. {@link ApiClient} reloads credential and CA files when they change.
 */
public final class ApiAccess {
    private static final Logger log = LoggerFactory.getLogger(ApiAccess.class);

    /** Directory in which the kubelet mounts the service account of a pod. */
    public static final Path SERVICE_ACCOUNT = Path.of("/var/run/secrets/kubernetes.io/serviceaccount");

    /**
     * One configured API server.
     *
     * @param url URL without a trailing slash
     * @param proxy HTTP proxy to use; null for none
     */
    record Server(URI url, @Nullable InetSocketAddress proxy) {
        String host() {
            return url.getHost().replaceAll("[\\[\\]]", "");
        }

        boolean isHttps() {
            return url.getScheme().equals("https");
        }
    }

    /**
     * The settings found in one source, before flags override some of them.
     *
     * @param advice what to change if the servers never respond; may be empty
     */
    private record ResolvedAccess(
            String source,
            String advice,
            List<URI> servers,
            String tlsServerName,
            @Nullable InetSocketAddress proxy,
            Credentials credentials,
            @Nullable FileCredential authority,
            @Nullable FileCredential certificate,
            @Nullable FileCredential key,
            boolean insecure) {}

    private final String source;
    private final String advice;
    private final List<Server> servers;
    private final String tlsServerName;
    private final Credentials credentials;
    private final Tls tls;

    private ApiAccess(ResolvedAccess found, List<Server> servers, Credentials credentials, Tls tls) {
        source = found.source();
        advice = found.advice();
        tlsServerName = found.tlsServerName();
        this.servers = servers;
        this.credentials = credentials;
        this.tls = tls;
    }

    /**
     * Returns the access that is configured in the first available source: {@code --kubeconfig}, {@code --master}, the
     * {@code KUBECONFIG} variable if one of its files exists, the pod's service account, {@code ~/.kube/config}. Flags
     * for servers, token and CA override the values from that source.
     *
     * @throws ApiAccessException if no source is available, or the first available one is invalid
     */
    public static ApiAccess find(
            ApiOptions options, Map<String, String> environment, Path home, Path serviceAccountDirectory)
            throws ApiAccessException {
        ResolvedAccess found = resolve(options, environment, home, serviceAccountDirectory);
        List<URI> urls = found.servers();
        if (!options.masters().isEmpty()) {
            urls = new ArrayList<>();
            for (String master : options.masters()) {
                urls.add(url("--master", master));
            }
        }
        boolean named = !found.tlsServerName().isEmpty();
        List<Server> servers = new ArrayList<>();
        for (URI url : urls) {
            InetSocketAddress proxy = found.proxy();
            proxy = proxy == null ? HttpProxies.fromEnvironment(url, environment) : proxy;
            if (named && proxy != null) {
                throw new ApiAccessException(found.source() + ": tls-server-name is not supported through a proxy");
            }
            servers.add(new Server(url, proxy));
        }
        Credentials credentials = found.credentials();
        Path tokenFile = options.tokenFile();
        if (tokenFile != null) {
            credentials = Credentials.bearer(FileCredential.fromFile(tokenFile, "--token-file"));
        }
        return new ApiAccess(found, List.copyOf(servers), credentials, tls(found, options)).warnIfInsecure();
    }

    private static Tls tls(ResolvedAccess found, ApiOptions options) throws ApiAccessException {
        Path authority = options.certificateAuthority();
        if (authority != null && options.insecureSkipTlsVerify()) {
            throw new ApiAccessException(
                    "--certificate-authority and --insecure-skip-tls-verify are mutually exclusive; set only one");
        }
        if (authority != null) {
            FileCredential given = FileCredential.fromFile(authority, "--certificate-authority");
            return new Tls(given, found.certificate(), found.key(), false);
        }
        boolean insecure = found.insecure() || options.insecureSkipTlsVerify();
        return new Tls(insecure ? null : found.authority(), found.certificate(), found.key(), insecure);
    }

    private ApiAccess warnIfInsecure() {
        if (tls.insecure() && servers.stream().anyMatch(Server::isHttps)) {
            log.warn("the certificate of the API server is not verified (insecure-skip-tls-verify); connections can be"
                    + " intercepted");
        }
        return this;
    }

    private static ResolvedAccess resolve(
            ApiOptions options, Map<String, String> environment, Path home, Path serviceAccount)
            throws ApiAccessException {
        if (!options.kubeconfigs().isEmpty()) {
            return ofKubeconfig(Kubeconfig.read(options.kubeconfigs()), options);
        }
        if (!options.masters().isEmpty()) {
            rejectContext(options, "--master");
            return new ResolvedAccess("--master", "", List.of(), "", null, Credentials.NONE, null, null, null, false);
        }
        Path token = serviceAccount.resolve("token");
        String variable = environment.getOrDefault("KUBECONFIG", "");
        String missing = "";
        if (!variable.isBlank()) {
            List<Path> named = Arrays.stream(variable.split(File.pathSeparator))
                    .filter(name -> !name.isBlank())
                    .map(Path::of)
                    .toList();
            // As in kubectl, files that do not exist are ignored. In a pod, the volume of the file may be optional.
            List<Path> existing = named.stream().filter(Files::exists).toList();
            if (!existing.isEmpty()) {
                return ofKubeconfig(Kubeconfig.read(existing), options);
            }
            missing = "KUBECONFIG: no such file: "
                    + named.stream().map(Path::toString).collect(Collectors.joining(", "));
        }
        if (Files.exists(token)) {
            rejectContext(options, "the service account in " + serviceAccount);
            return ofServiceAccount(environment, serviceAccount, missing);
        }
        if (!missing.isEmpty()) {
            throw new ApiAccessException(missing);
        }
        Path defaultConfig = home.resolve(".kube").resolve("config");
        if (Files.exists(defaultConfig)) {
            return ofKubeconfig(Kubeconfig.read(List.of(defaultConfig)), options);
        }
        throw new ApiAccessException(
                "no API server configured: --kubeconfig, --master and KUBECONFIG are not set, and neither "
                        + token + " nor " + defaultConfig + " exists;"
                        + " set --kubeconfig, or set --feed to serve manifests from a file or directory");
    }

    private static void rejectContext(ApiOptions options, String source) throws ApiAccessException {
        if (!options.context().isEmpty()) {
            throw new ApiAccessException("--context is set, but " + source + " has no contexts; set --kubeconfig, too");
        }
    }

    /** @param missing why no kubeconfig is used; empty if none is configured */
    private static ResolvedAccess ofServiceAccount(Map<String, String> environment, Path directory, String missing)
            throws ApiAccessException {
        String host = environment.getOrDefault("KUBERNETES_SERVICE_HOST", "");
        String port = environment.getOrDefault("KUBERNETES_SERVICE_PORT", "");
        String at = host.isBlank()
                ? "https://kubernetes.default.svc"
                : "https://" + (host.indexOf(':') < 0 ? host : "[" + host + "]") + (port.isBlank() ? "" : ":" + port);
        return new ResolvedAccess(
                "service account in " + directory + (missing.isEmpty() ? "" : "; " + missing),
                "set KUBERNETES_SERVICE_HOST to the address of an API server; that of the Service 'kubernetes' works"
                        + " only if another proxy serves it",
                List.of(url("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT", at)),
                "",
                null,
                Credentials.bearer(FileCredential.fromFile(directory.resolve("token"), "service account")),
                FileCredential.fromFile(directory.resolve("ca.crt"), "service account"),
                null,
                null,
                false);
    }

    private static ResolvedAccess ofKubeconfig(Kubeconfig kubeconfig, ApiOptions options) throws ApiAccessException {
        Context context = kubeconfig.context(options.context());
        Section cluster = context.cluster();
        List<URI> servers = List.of();
        if (options.masters().isEmpty()) {
            if (cluster.string("server").isEmpty()) {
                throw cluster.invalid("server", "missing; must be a URL such as https://10.0.0.1:6443");
            }
            servers = List.of(url(cluster.place("server"), cluster.string("server")));
        }
        boolean insecure = cluster.bool("insecure-skip-tls-verify");
        FileCredential authority = cluster.credential("certificate-authority");
        if (insecure && authority != null) {
            throw cluster.invalid("insecure-skip-tls-verify", "must not be set together with certificate-authority");
        }
        String proxy = cluster.string("proxy-url");
        Section user = context.user();
        FileCredential certificate = user == null ? null : user.credential("client-certificate");
        FileCredential key = user == null ? null : user.credential("client-key");
        if (user != null && (certificate == null) != (key == null)) {
            throw user.invalid(
                    certificate == null ? "client-certificate" : "client-key",
                    "missing; required by " + (certificate == null ? "client-key" : "client-certificate"));
        }
        return new ResolvedAccess(
                "kubeconfig " + kubeconfig.names() + ", context " + context.name(),
                "",
                servers,
                tlsServerName(cluster),
                proxy.isEmpty() ? null : HttpProxies.of(cluster.place("proxy-url"), proxy),
                user == null ? Credentials.NONE : credentials(user, cluster),
                authority,
                certificate,
                key,
                insecure);
    }

    private static String tlsServerName(Section cluster) throws ApiAccessException {
        String name = cluster.string("tls-server-name").toLowerCase(Locale.ROOT);
        if (!name.isEmpty() && (!FieldReader.isName(name) || name.matches("[0-9.]+"))) {
            throw cluster.invalid("tls-server-name", "must be a host name, not an IP address");
        }
        return name;
    }

    /** Returns the user's credentials other than a client certificate, in kubectl's order of precedence. */
    private static Credentials credentials(Section user, Section cluster) throws ApiAccessException {
        for (String unsupported : List.of("as", "as-uid", "as-groups", "as-user-extra")) {
            if (user.has(unsupported)) {
                throw user.invalid(unsupported, "impersonation is not supported");
            }
        }
        if (user.has("auth-provider")) {
            throw user.invalid("auth-provider", "not supported, and removed from kubectl; use exec");
        }
        FileCredential tokenFile = user.file("tokenFile");
        FileCredential token = tokenFile == null ? user.inlineCredential("token") : tokenFile;
        String name = user.string("username");
        if (token != null && !name.isEmpty()) {
            throw user.invalid("username", "must not be set together with a token");
        }
        if (token != null) {
            return Credentials.bearer(token);
        }
        if (!name.isEmpty()) {
            if (name.indexOf(':') >= 0) {
                throw user.invalid("username", "must not contain a colon");
            }
            return Credentials.basic(name, user.string("password"));
        }
        return user.has("exec")
                ? Credentials.plugin(ExecPlugin.configuredBy(user.section("exec"), cluster))
                : Credentials.NONE;
    }

    /** @throws ApiAccessException if the string is not a valid API server URL */
    private static URI url(String place, String text) throws ApiAccessException {
        try {
            return url(text);
        } catch (IllegalArgumentException e) {
            throw new ApiAccessException(
                    place + ": " + Problem.quoted(text) + " is invalid; must be a URL such as https://10.0.0.1:6443");
        }
    }

    private static URI url(String text) {
        URI url = URI.create(text.strip().replaceFirst("/+$", ""));
        String scheme = String.valueOf(url.getScheme()).toLowerCase(Locale.ROOT);
        boolean usable = (scheme.equals("https") || scheme.equals("http"))
                && url.getHost() != null
                && url.getUserInfo() == null
                && url.getRawQuery() == null
                && url.getRawFragment() == null
                && url.getPort() <= 65_535;
        if (!usable) {
            throw new IllegalArgumentException(text);
        }
        return URI.create(scheme + url.toString().substring(scheme.length()));
    }

    /** Whether a string is a valid API server URL, such as {@code https://10.0.0.1:6443}. */
    public static boolean isServer(String text) {
        try {
            url(text);
            return true;
        } catch (IllegalArgumentException e) {
            return false;
        }
    }

    List<Server> servers() {
        return servers;
    }

    /** What to change in the environment if none of the servers has ever responded; may be empty. */
    String advice() {
        return advice;
    }

    /** Name expected in every server's certificate; if empty, the host in that server's URL. */
    String tlsServerName() {
        return tlsServerName;
    }

    Credentials credentials() {
        return credentials;
    }

    Tls tls() {
        return tls;
    }

    /** The servers and the source of the settings, for the log. */
    @Override
    public String toString() {
        return servers.stream().map(server -> server.url().toString()).collect(Collectors.joining(", ")) + " (" + source
                + ")";
    }
}
