package io.sluice.apiserver;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Sources of servers and credentials, their precedence, and the messages about invalid ones. */
final class ApiAccessTest {
    private static final String NONE_FOUND =
            "no API server configured: --kubeconfig, --master and KUBECONFIG are not set, and neither {pod}/token nor"
                    + " {home}/.kube/config exists; set --kubeconfig, or set --feed to serve manifests from a file or"
                    + " directory";

    @TempDir
    private Path directory;

    private final Map<String, String> environment = new HashMap<>();
    private List<Path> kubeconfigs = List.of();
    private String context = "";
    private List<String> masters = List.of();
    private @Nullable Path tokenFile;
    private @Nullable Path authority;
    private boolean insecure;

    @BeforeEach
    void createDirectories() throws Exception {
        Files.createDirectories(directory.resolve("home/.kube"));
        Files.createDirectory(directory.resolve("pod"));
    }

    private ApiAccess find() throws ApiAccessException {
        return ApiAccess.find(
                new ApiOptions(kubeconfigs, context, masters, tokenFile, authority, insecure),
                environment,
                directory.resolve("home"),
                directory.resolve("pod"));
    }

    /** The access that was found, without the temporary directory in paths. */
    private String found() throws Exception {
        return find().toString().replace(directory.toString(), "");
    }

    private String problem() {
        ApiAccessException e = catchThrowableOfType(ApiAccessException.class, this::find);
        assertThat(e).as("an exception is thrown").isNotNull();
        return Objects.requireNonNull(e.getMessage()).replace(directory.toString(), "");
    }

    private static @Nullable String authorization(ApiAccess access) throws Exception {
        return access.credentials().authorization(0);
    }

    private Path file(String name, String text) throws Exception {
        return Files.writeString(directory.resolve(name), text);
    }

    private static String kubeconfig(String server, String user) {
        return """
                apiVersion: v1
                kind: Config
                clusters: [{name: c, cluster: {server: 'SERVER'}}]
                contexts: [{name: x, context: {cluster: c, user: u}}]
                users: [{name: u, user: {USER}}]
                current-context: x
                """.replace("SERVER", server).replace("USER", user);
    }

    private void useKubeconfig(String text) throws Exception {
        kubeconfigs = List.of(file("given", text));
    }

    @Test
    void reportsThatNoApiServerIsConfigured() {
        assertThat(problem()).isEqualTo(NONE_FOUND.replace("{pod}", "/pod").replace("{home}", "/home"));
    }

    @Test
    void prefersSourcesInOrder() throws Exception {
        file("home/.kube/config", kubeconfig("https://home", "token: home"));
        assertThat(found()).isEqualTo("https://home (kubeconfig /home/.kube/config, context x)");

        TestAuthority pods = TestAuthority.in(Files.createDirectory(directory.resolve("authority")));
        file("pod/token", "pod-token\n");
        file("pod/ca.crt", pods.certificate());
        assertThat(found()).isEqualTo("https://kubernetes.default.svc (service account in /pod)");
        environment.put("KUBERNETES_SERVICE_HOST", "fd00::1");
        environment.put("KUBERNETES_SERVICE_PORT", "443");
        assertThat(found()).isEqualTo("https://[fd00::1]:443 (service account in /pod)");
        assertThat(authorization(find())).isEqualTo("Bearer pod-token");

        file("variable", kubeconfig("https://variable/", "token: variable"));
        environment.put("KUBECONFIG", directory.resolve("none") + File.pathSeparator + directory.resolve("variable"));
        assertThat(found()).isEqualTo("https://variable (kubeconfig /variable, context x)");

        masters = List.of("http://127.0.0.1:8080", "HTTPS://b:6443");
        assertThat(found()).isEqualTo("http://127.0.0.1:8080, https://b:6443 (--master)");
        assertThat(authorization(find())).isNull();

        useKubeconfig(kubeconfig("https://given:6443", "token: given"));
        assertThat(found()).isEqualTo("http://127.0.0.1:8080, https://b:6443 (kubeconfig /given, context x)");
        assertThat(authorization(find())).isEqualTo("Bearer given");
        masters = List.of();
        assertThat(found()).isEqualTo("https://given:6443 (kubeconfig /given, context x)");

        tokenFile = file("token", "by hand");
        assertThat(problem())
                .isEqualTo("/token: not a valid token: contains whitespace, control or non-ASCII characters");
        tokenFile = file("token", " by-hand\n");
        assertThat(authorization(find())).isEqualTo("Bearer by-hand");
    }

    /** The kubeconfig of kube-proxy comes from a ConfigMap that may be missing, and has the token of the pod. */
    @Test
    void usesTheServiceAccountIfTheKubeconfigOfThePodIsMissing() throws Exception {
        TestAuthority pods = TestAuthority.in(Files.createDirectory(directory.resolve("authority")));
        Path token = file("pod/token", "pod-token");
        file("pod/ca.crt", pods.certificate());
        environment.put("KUBECONFIG", directory.resolve("kubeconfig.conf").toString());
        environment.put("KUBERNETES_SERVICE_HOST", "198.18.0.10");
        environment.put("KUBERNETES_SERVICE_PORT", "6443");
        assertThat(found())
                .isEqualTo("https://198.18.0.10:6443 (service account in /pod; KUBECONFIG: no such file:"
                        + " /kubeconfig.conf)");

        file("kubeconfig.conf", kubeconfig("https://198.18.0.20:6443", "tokenFile: " + token));
        assertThat(found()).isEqualTo("https://198.18.0.20:6443 (kubeconfig /kubeconfig.conf, context x)");
        assertThat(authorization(find())).isEqualTo("Bearer pod-token");
    }

    @Test
    void firstKubeconfigWithAnEntryWins() throws Exception {
        Files.createDirectory(directory.resolve("a"));
        file("a/token", "of-a");
        Path a = file("a/config", """
                clusters: [{name: c, cluster: {server: "https://a"}}]
                users: [{name: u, user: {tokenFile: token}}]
                """);
        Path b = file("b", """
                clusters: [{name: c, cluster: {server: "https://b"}}, {name: d, cluster: {server: "https://d"}}]
                contexts:
                - {name: x, context: {cluster: c, user: u}}
                - {name: y, context: {cluster: d}}
                current-context: x
                """);
        kubeconfigs = List.of(a, b);
        assertThat(found()).isEqualTo("https://a (kubeconfig /a/config, /b, context x)");
        assertThat(authorization(find())).isEqualTo("Bearer of-a");
        context = "y";
        assertThat(found()).isEqualTo("https://d (kubeconfig /a/config, /b, context y)");
        assertThat(authorization(find())).isNull();
        context = "z";
        assertThat(problem()).isEqualTo("/a/config, /b: context 'z' not found; available: x, y");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "token: t | Bearer t",
                "username: me, password: 'a:b' | Basic bWU6YTpi",
                "token: t, exec: {command: x} | Bearer t",
                "username: me | Basic bWU6",
                "unknown: 1 | "
            })
    void findsCredentials(String user, @Nullable String header) throws Exception {
        useKubeconfig(kubeconfig("https://s", user));
        assertThat(authorization(find())).isEqualTo(header);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "token: 1 | token: must be a string, not a number; put it in quotes",
                "password: {a: b}, username: u | password: must be a string, not a mapping",
                "client-key: true | client-key: must be a string, not a boolean; put it in quotes",
                "tokenFile: none | tokenFile: /none does not exist",
                "'token: \"a b\"' | token: not a valid token: contains whitespace, control or non-ASCII characters",
                "token: t, username: u | username: must not be set together with a token",
                "username: 'a:b' | username: must not contain a colon",
                "auth-provider: {name: gcp} | auth-provider: not supported, and removed from kubectl; use exec",
                "as: admin | as: impersonation is not supported",
                "client-certificate-data: '*' | client-certificate-data: must be base64",
                "client-certificate-data: QQ== | client-key: missing; required by client-certificate",
                "client-key-data: QQ== | client-certificate: missing; required by client-key",
                "client-certificate: none, client-key: none | client-certificate: /none does not exist",
                "client-certificate-data: QQ==, client-key-data: QQ== | client-certificate-data: contains no"
                        + " PEM certificate (-----BEGIN CERTIFICATE-----)",
                "exec: x | exec: must be a mapping, not a string",
                "exec: {command: x} | exec.apiVersion: missing; must be client.authentication.k8s.io/v1 or"
                        + " client.authentication.k8s.io/v1beta1",
                "exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: x} | exec.apiVersion:"
                        + " 'client.authentication.k8s.io/v1alpha1' is not supported; must be"
                        + " client.authentication.k8s.io/v1 or client.authentication.k8s.io/v1beta1",
                "exec: {apiVersion: client.authentication.k8s.io/v1} | exec.command: missing; must be the name or path"
                        + " of a program",
                "exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Always} |"
                        + " exec.interactiveMode: 'Always' requires a terminal, which a daemon does not have; must be"
                        + " Never or IfAvailable",
                "exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: no-no} |"
                        + " exec.interactiveMode: 'no-no' is invalid; must be Never or IfAvailable",
                "exec: {apiVersion: client.authentication.k8s.io/v1, command: x, args: [1]} | exec.args[0]: must be a"
                        + " string, not a number; put it in quotes",
                "exec: {apiVersion: client.authentication.k8s.io/v1, command: x, env: [{value: y}]} | exec.env[0].name:"
                        + " missing"
            })
    void reportsAnInvalidUser(String user, String message) throws Exception {
        useKubeconfig(kubeconfig("https://s", user));
        assertThat(problem()).isEqualTo("/given: users[name=u].user." + message);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "server: '' | server: missing; must be a URL such as https://10.0.0.1:6443",
                "server: 's:6443' | server: 's:6443' is invalid; must be a URL such as https://10.0.0.1:6443",
                "server: 'ftp://s' | server: 'ftp://s' is invalid; must be a URL such as https://10.0.0.1:6443",
                "server: 'https://s?x' | server: 'https://s?x' is invalid; must be a URL such as https://10.0.0.1:6443",
                "certificate-authority: none | certificate-authority: /none does not exist",
                "certificate-authority-data: QQ== | certificate-authority-data: contains no PEM"
                        + " certificate (-----BEGIN CERTIFICATE-----)",
                "insecure-skip-tls-verify: 'yes' | insecure-skip-tls-verify: must be true or false, not a string",
                "insecure-skip-tls-verify: true, certificate-authority-data: QQ== | insecure-skip-tls-verify: must not be"
                        + " set together with certificate-authority",
                "tls-server-name: 10.0.0.1 | tls-server-name: must be a host name, not an IP address",
                "proxy-url: 'socks5://p:1080' | proxy-url: proxies of type socks5 are not supported; use a URL"
                        + " such as http://proxy:3128",
                "proxy-url: 'https://p' | proxy-url: proxies of type https are not supported; use a URL such as"
                        + " http://proxy:3128",
                "proxy-url: 'http://a:b@p' | proxy-url: a proxy with a password is not supported",
                "proxy-url: 'http://p p' | proxy-url: must be a URL such as http://proxy:3128"
            })
    void reportsAnInvalidCluster(String cluster, String message) throws Exception {
        String text = cluster.startsWith("server") ? cluster : "server: 'https://s', " + cluster;
        useKubeconfig(kubeconfig("", "").replace("server: ''", text));
        assertThat(problem()).isEqualTo("/given: clusters[name=c].cluster." + message);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "[] | must be a kubeconfig, not a list",
                "'' | current-context: missing; set it, or set --context; available: none",
                "current-context: x | context 'x' not found; available: none",
                "'{contexts: [{name: x}], current-context: x}' | contexts[name=x].context.cluster: missing; available: none",
                "'{contexts: [{name: x, context: {cluster: c}}], current-context: x}' | contexts[name=x].context.cluster:"
                        + " cluster 'c' not found; available: none",
                "'{contexts: {x: y}}' | contexts: must be a list, not a mapping",
                "'{contexts: [{context: {}}]}' | contexts[0].name: missing",
                "'{contexts: [x]}' | contexts[0]: must be a mapping, not a string",
                "'a: [' | 'line 1, column 5: while parsing a flow node, expected the node content, but found ''<stream end>'''"
            })
    void reportsAnInvalidKubeconfig(String text, String message) throws Exception {
        useKubeconfig(text);
        assertThat(problem()).isEqualTo("/given: " + message);
    }

    @Test
    void reportsInvalidFlagsAndMissingFiles() throws Exception {
        kubeconfigs = List.of(directory.resolve("none"));
        assertThat(problem()).isEqualTo("/none: does not exist");
        kubeconfigs = List.of(directory);
        assertThat(problem()).isEqualTo("cannot read : Is a directory");
        kubeconfigs = List.of();

        masters = List.of("127.0.0.1:8080");
        assertThat(problem())
                .isEqualTo("--master: '127.0.0.1:8080' is invalid; must be a URL such as https://10.0.0.1:6443");
        masters = List.of("https://a");
        context = "x";
        assertThat(problem()).isEqualTo("--context is set, but --master has no contexts; set --kubeconfig, too");
        context = "";
        tokenFile = directory.resolve("none");
        assertThat(problem()).isEqualTo("--token-file: /none does not exist");
        tokenFile = null;
        authority = file("empty", "");
        assertThat(problem()).isEqualTo("--certificate-authority: cannot read /empty: the file is empty");
        authority = file("text", "x");
        assertThat(problem()).isEqualTo("/text: contains no PEM certificate (-----BEGIN CERTIFICATE-----)");
        insecure = true;
        assertThat(problem())
                .isEqualTo(
                        "--certificate-authority and --insecure-skip-tls-verify are mutually exclusive; set only one");
        masters = List.of();
        authority = null;

        environment.put("KUBECONFIG", directory.resolve("a") + File.pathSeparator + directory.resolve("b"));
        assertThat(problem()).isEqualTo("KUBECONFIG: no such file: /a, /b");
        file("pod/token", "t");
        assertThat(problem())
                .as("the volume of the kubeconfig is optional")
                .isEqualTo("service account: /pod/ca.crt does not exist");
        environment.clear();
        assertThat(problem()).isEqualTo("service account: /pod/ca.crt does not exist");
    }

    @ParameterizedTest
    @CsvSource({
        "https://api.test, '', p",
        "http://api.test, '', ",
        "https://127.0.0.1, '', ",
        "https://localhost:6443, '', ",
        "https://10.1.2.3, '10.0.0.0/8', ",
        "https://10.1.2.3, 'x,10.1.2.3', ",
        "https://10.1.2.3, '10.1.2.4', p",
        "https://api.test, test, ",
        "https://api.test, .test, ",
        "https://api.test, .api.test, p",
        "https://api.test, *, ",
        "https://xapi.test, api.test, p"
    })
    void usesTheProxyOfTheEnvironmentAsKubectlDoes(String server, String noProxy, @Nullable String proxy)
            throws Exception {
        masters = List.of(server);
        environment.put("HTTPS_PROXY", "http://p:3128");
        environment.put("no_proxy", noProxy);
        var found = find().servers().get(0).proxy();
        assertThat(found == null ? null : found.getHostString()).isEqualTo(proxy);
    }

    @Test
    void rejectsATlsServerNameThroughAProxy() throws Exception {
        useKubeconfig(kubeconfig("https://s', tls-server-name: n, proxy-url: 'http://p", ""));
        assertThat(problem())
                .isEqualTo("kubeconfig /given, context x: tls-server-name is not supported through a proxy");
    }
}
