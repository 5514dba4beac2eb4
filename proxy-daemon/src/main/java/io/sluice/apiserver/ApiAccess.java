package io.sluice.apiserver;

import io.sluice.apiserver.Kubeconfig.Context;
import io.sluice.apiserver.Kubeconfig.Section;
import io.sluice.document.FieldReader;
import io.sluice.document.Problem;
import java.io.File;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * Where the API servers are and how we prove who we are, found as kubectl and kube-proxy find it. Files behind it may
 * change later; {@link ApiClient} follows them.
 */
public final class ApiAccess {
    private static final Logger log = LoggerFactory.getLogger(ApiAccess.class);
    private static final Duration PLUGIN_TIMEOUT = Duration.ofSeconds(30);

    /** Where the kubelet puts what a pod needs to talk to its API server. */
    public static final Path SERVICE_ACCOUNT = Path.of("/var/run/secrets/kubernetes.io/serviceaccount");

    /**
     * One server, as it was given.
     *
     * @param url without a slash at its end
     * @param proxy that leads there; null for none
     */
    record Server(URI url, @Nullable InetSocketAddress proxy) {
        String host() {
            return url.getHost().replaceAll("[\\[\\]]", "");
        }

        boolean isHttps() {
            return url.getScheme().equals("https");
        }
    }

    /** What one way of finding the server yields, before flags change it. */
    private record ResolvedAccess(
            String origin,
            List<URI> servers,
            String tlsServerName,
            @Nullable InetSocketAddress proxy,
            Credentials credentials,
            @Nullable FileCredential authority,
            @Nullable FileCredential certificate,
            @Nullable FileCredential key,
            boolean insecure) {}

    private final String origin;
    private final List<Server> servers;
    private final String tlsServerName;
    private final Credentials credentials;
    private final Tls tls;

    private ApiAccess(String origin, List<Server> servers, String tlsServerName, Credentials credentials, Tls tls) {
        this.origin = origin;
        this.servers = servers;
        this.tlsServerName = tlsServerName;
        this.credentials = credentials;
        this.tls = tls;
    }

    /**
     * The first of these: the servers of the flags, the kubeconfig of the flags, that of {@code KUBECONFIG}, the pod's
     * service account, {@code ~/.kube/config}. Flags for credentials and authority count more than what is found.
     *
     * @throws ApiAccessException if there is none, or something is wrong with it
     */
    public static ApiAccess find(
            ApiOptions options, Map<String, String> environment, Path home, Path serviceAccountFolder)
            throws ApiAccessException {
        ResolvedAccess found = look(options, environment, home, serviceAccountFolder);
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
                throw new ApiAccessException(found.origin() + ": tls-server-name is not supported through a proxy");
            }
            servers.add(new Server(url, proxy));
        }
        Credentials credentials = found.credentials();
        Path tokenFile = options.tokenFile();
        if (tokenFile != null) {
            credentials = Credentials.bearer(FileCredential.in(tokenFile, "--token-file"));
        }
        return new ApiAccess(
                        found.origin(), List.copyOf(servers), found.tlsServerName(), credentials, tls(found, options))
                .warned();
    }

    private static Tls tls(ResolvedAccess found, ApiOptions options) throws ApiAccessException {
        Path authority = options.certificateAuthority();
        if (authority != null && options.insecureSkipTlsVerify()) {
            throw new ApiAccessException(
                    "--certificate-authority and --insecure-skip-tls-verify are both given;" + " give one");
        }
        if (authority != null) {
            FileCredential given = FileCredential.in(authority, "--certificate-authority");
            return new Tls(given, found.certificate(), found.key(), false);
        }
        boolean insecure = found.insecure() || options.insecureSkipTlsVerify();
        return new Tls(insecure ? null : found.authority(), found.certificate(), found.key(), insecure);
    }

    private ApiAccess warned() {
        if (tls.insecure() && servers.stream().anyMatch(Server::isHttps)) {
            log.warn(
                    "the API server's certificate is not verified (insecure-skip-tls-verify): anybody may claim to be it");
        }
        return this;
    }

    private static ResolvedAccess look(
            ApiOptions options, Map<String, String> environment, Path home, Path serviceAccount)
            throws ApiAccessException {
        if (!options.kubeconfigs().isEmpty()) {
            return ofKubeconfig(Kubeconfig.read(options.kubeconfigs()), options);
        }
        if (!options.masters().isEmpty()) {
            noContext(options, "--master");
            return new ResolvedAccess("--master", List.of(), "", null, Credentials.NONE, null, null, null, false);
        }
        String variable = environment.getOrDefault("KUBECONFIG", "");
        if (!variable.isBlank()) {
            List<Path> named = Arrays.stream(variable.split(File.pathSeparator))
                    .filter(name -> !name.isBlank())
                    .map(Path::of)
                    .toList();
            // As kubectl: not all of them have to be there.
            List<Path> there = named.stream().filter(Files::exists).toList();
            if (there.isEmpty()) {
                throw new ApiAccessException("KUBECONFIG: there is no file "
                        + named.stream().map(Path::toString).collect(Collectors.joining(", nor ")));
            }
            return ofKubeconfig(Kubeconfig.read(there), options);
        }
        Path token = serviceAccount.resolve("token");
        if (Files.exists(token)) {
            noContext(options, "the service account in " + serviceAccount);
            return ofServiceAccount(environment, serviceAccount);
        }
        Path usual = home.resolve(".kube").resolve("config");
        if (Files.exists(usual)) {
            return ofKubeconfig(Kubeconfig.read(List.of(usual)), options);
        }
        throw new ApiAccessException(
                "no API server found: neither --master nor --kubeconfig is given, KUBECONFIG is not"
                        + " set, and there is no " + token + " and no " + usual
                        + "; to serve manifests instead, give --feed PATH, a file or a folder");
    }

    private static void noContext(ApiOptions options, String origin) throws ApiAccessException {
        if (!options.context().isEmpty()) {
            throw new ApiAccessException("--context is given, but " + origin + " has no contexts; give --kubeconfig");
        }
    }

    private static ResolvedAccess ofServiceAccount(Map<String, String> environment, Path folder)
            throws ApiAccessException {
        String host = environment.getOrDefault("KUBERNETES_SERVICE_HOST", "");
        String port = environment.getOrDefault("KUBERNETES_SERVICE_PORT", "");
        String at = host.isBlank()
                ? "https://kubernetes.default.svc"
                : "https://" + (host.indexOf(':') < 0 ? host : "[" + host + "]") + (port.isBlank() ? "" : ":" + port);
        return new ResolvedAccess(
                "service account in " + folder,
                List.of(url("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT", at)),
                "",
                null,
                Credentials.bearer(FileCredential.in(folder.resolve("token"), "service account")),
                FileCredential.in(folder.resolve("ca.crt"), "service account"),
                null,
                null,
                false);
    }

    private static ResolvedAccess ofKubeconfig(Kubeconfig kubeconfig, ApiOptions options) throws ApiAccessException {
        Context context = kubeconfig.context(options.context());
        Section cluster = context.cluster();
        List<URI> servers = List.of();
        if (options.masters().isEmpty()) {
            if (cluster.text("server").isEmpty()) {
                throw cluster.wrong("server", "missing; give a URL such as https://10.0.0.1:6443");
            }
            servers = List.of(url(cluster.place("server"), cluster.text("server")));
        }
        boolean insecure = cluster.bool("insecure-skip-tls-verify");
        FileCredential authority = cluster.material("certificate-authority");
        if (insecure && authority != null) {
            throw cluster.wrong("insecure-skip-tls-verify", "there is a certificate-authority too; give one of them");
        }
        String proxy = cluster.text("proxy-url");
        Section user = context.user();
        FileCredential certificate = user == null ? null : user.material("client-certificate");
        FileCredential key = user == null ? null : user.material("client-key");
        if (user != null && (certificate == null) != (key == null)) {
            throw user.wrong(
                    certificate == null ? "client-certificate" : "client-key",
                    "missing; " + (certificate == null ? "client-key" : "client-certificate") + " needs it");
        }
        return new ResolvedAccess(
                "kubeconfig " + kubeconfig.names() + ", context " + context.name(),
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
        String name = cluster.text("tls-server-name").toLowerCase(Locale.ROOT);
        if (!name.isEmpty() && (!FieldReader.isName(name) || name.matches("[0-9.]+"))) {
            throw cluster.wrong("tls-server-name", "must be a host name; an address is not supported");
        }
        return name;
    }

    /** What identifies the user besides a certificate. The order is kubectl's. */
    private static Credentials credentials(Section user, Section cluster) throws ApiAccessException {
        for (String unsupported : List.of("as", "as-uid", "as-groups", "as-user-extra")) {
            if (user.has(unsupported)) {
                throw user.wrong(unsupported, "acting as somebody else is not supported");
            }
        }
        if (user.has("auth-provider")) {
            throw user.wrong("auth-provider", "is not supported, and gone from kubectl; use exec");
        }
        FileCredential tokenFile = user.file("tokenFile");
        FileCredential token = tokenFile == null ? user.here("token") : tokenFile;
        String name = user.text("username");
        if (token != null && !name.isEmpty()) {
            throw user.wrong("username", "there is a token too; give one of them");
        }
        if (token != null) {
            return Credentials.bearer(token);
        }
        if (!name.isEmpty()) {
            if (name.indexOf(':') >= 0) {
                throw user.wrong("username", "must not hold a colon");
            }
            return Credentials.basic(name, user.text("password"));
        }
        return user.has("exec") ? Credentials.plugin(plugin(user.section("exec"), cluster)) : Credentials.NONE;
    }

    private static ExecPlugin plugin(Section exec, Section cluster) throws ApiAccessException {
        String version = exec.text("apiVersion");
        List<String> versions = List.of("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1");
        if (!versions.contains(version)) {
            throw exec.wrong(
                    "apiVersion",
                    (version.isEmpty() ? "missing" : Problem.quoted(version) + " is not supported") + "; allowed are "
                            + String.join(" and ", versions));
        }
        String command = exec.text("command");
        if (command.isBlank() || command.indexOf('\0') >= 0) {
            throw exec.wrong("command", "missing; give the name or the path of a program");
        }
        String mode = exec.text("interactiveMode");
        if (mode.equals("Always")) {
            throw exec.wrong(
                    "interactiveMode", "Always needs a person at a terminal; allowed are Never and IfAvailable");
        }
        if (!List.of("", "Never", "IfAvailable").contains(mode)) {
            throw exec.wrong(
                    "interactiveMode", Problem.quoted(mode) + " is not allowed; allowed are Never and IfAvailable");
        }
        return new ExecPlugin(
                new ExecPlugin.Spec(
                        exec.place(),
                        exec.folder(),
                        version,
                        command,
                        exec.texts("args"),
                        exec.pairs("env"),
                        exec.text("installHint"),
                        exec.bool("provideClusterInfo") ? clusterInfo(cluster) : null,
                        PLUGIN_TIMEOUT),
                Clock.systemUTC());
    }

    /** What a plugin is told of the cluster. */
    private static JsonNode clusterInfo(Section cluster) throws ApiAccessException {
        ObjectNode info = JsonMapper.shared().createObjectNode();
        for (String field : List.of("server", "tls-server-name", "proxy-url")) {
            if (cluster.has(field)) {
                info.put(field, cluster.text(field));
            }
        }
        if (cluster.bool("insecure-skip-tls-verify")) {
            info.put("insecure-skip-tls-verify", true);
        }
        FileCredential authority = cluster.material("certificate-authority");
        if (authority != null) {
            info.put(
                    "certificate-authority-data",
                    Base64.getEncoder().encodeToString(authority.text().getBytes(StandardCharsets.UTF_8)));
        }
        for (Section extension : cluster.items("extensions")) {
            if (extension.text("name").equals("client.authentication.k8s.io/exec")) {
                info.set("config", extension.value("extension"));
            }
        }
        return info;
    }

    /** @throws ApiAccessException if it is none that can be asked */
    private static URI url(String place, String text) throws ApiAccessException {
        try {
            return url(text);
        } catch (IllegalArgumentException e) {
            throw new ApiAccessException(
                    place + ": " + Problem.quoted(text) + " is not allowed; give a URL such as https://10.0.0.1:6443");
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

    /** Whether a text names a server, such as {@code https://10.0.0.1:6443}. */
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

    /** The name in the certificates of all servers; empty for that in their URL. */
    String tlsServerName() {
        return tlsServerName;
    }

    Credentials credentials() {
        return credentials;
    }

    Tls tls() {
        return tls;
    }

    /** Which servers, and where that was found; for the log. */
    @Override
    public String toString() {
        return servers.stream().map(server -> server.url().toString()).collect(Collectors.joining(", ")) + " (" + origin
                + ")";
    }
}
