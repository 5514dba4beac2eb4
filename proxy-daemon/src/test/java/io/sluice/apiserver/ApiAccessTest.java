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

/** Which servers and whose credentials are found where, and what is said if it cannot be. */
final class ApiAccessTest {
    private static final String NONE_FOUND =
            "no API server found: neither --master nor --kubeconfig is given, KUBECONFIG is not set, and there is no"
                    + " {pod}/token and no {home}/.kube/config; to serve manifests instead, give --feed PATH, a file or"
                    + " a folder";

    @TempDir
    private Path folder;

    private final Map<String, String> environment = new HashMap<>();
    private List<Path> kubeconfigs = List.of();
    private String context = "";
    private List<String> masters = List.of();
    private @Nullable Path tokenFile;
    private @Nullable Path authority;
    private boolean insecure;

    @BeforeEach
    void folders() throws Exception {
        Files.createDirectories(folder.resolve("home/.kube"));
        Files.createDirectory(folder.resolve("pod"));
    }

    private ApiAccess find() throws ApiAccessException {
        return ApiAccess.find(
                new ApiOptions(kubeconfigs, context, masters, tokenFile, authority, insecure),
                environment,
                folder.resolve("home"),
                folder.resolve("pod"));
    }

    /** What is found, with the folders' names short. */
    private String found() throws Exception {
        return find().toString().replace(folder.toString(), "");
    }

    private String problem() {
        ApiAccessException e = catchThrowableOfType(ApiAccessException.class, this::find);
        assertThat(e).as("it is refused").isNotNull();
        return Objects.requireNonNull(e.getMessage()).replace(folder.toString(), "");
    }

    private static @Nullable String authorization(ApiAccess access) throws Exception {
        return access.credentials().authorization(0);
    }

    private Path file(String name, String text) throws Exception {
        return Files.writeString(folder.resolve(name), text);
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

    private void give(String text) throws Exception {
        kubeconfigs = List.of(file("given", text));
    }

    @Test
    void nothingIsThere() {
        assertThat(problem()).isEqualTo(NONE_FOUND.replace("{pod}", "/pod").replace("{home}", "/home"));
    }

    @Test
    void eachWayBeforeTheNext() throws Exception {
        file("home/.kube/config", kubeconfig("https://home", "token: home"));
        assertThat(found()).isEqualTo("https://home (kubeconfig /home/.kube/config, context x)");

        TestAuthority pods = TestAuthority.in(Files.createDirectory(folder.resolve("authority")));
        file("pod/token", "pod-token\n");
        file("pod/ca.crt", pods.certificate());
        assertThat(found()).isEqualTo("https://kubernetes.default.svc (service account in /pod)");
        environment.put("KUBERNETES_SERVICE_HOST", "fd00::1");
        environment.put("KUBERNETES_SERVICE_PORT", "443");
        assertThat(found()).isEqualTo("https://[fd00::1]:443 (service account in /pod)");
        assertThat(authorization(find())).isEqualTo("Bearer pod-token");

        file("variable", kubeconfig("https://variable/", "token: variable"));
        environment.put("KUBECONFIG", folder.resolve("none") + File.pathSeparator + folder.resolve("variable"));
        assertThat(found()).isEqualTo("https://variable (kubeconfig /variable, context x)");

        masters = List.of("http://127.0.0.1:8080", "HTTPS://b:6443");
        assertThat(found()).isEqualTo("http://127.0.0.1:8080, https://b:6443 (--master)");
        assertThat(authorization(find())).isNull();

        give(kubeconfig("https://given:6443", "token: given"));
        assertThat(found()).isEqualTo("http://127.0.0.1:8080, https://b:6443 (kubeconfig /given, context x)");
        assertThat(authorization(find())).isEqualTo("Bearer given");
        masters = List.of();
        assertThat(found()).isEqualTo("https://given:6443 (kubeconfig /given, context x)");

        tokenFile = file("token", "by hand");
        assertThat(problem()).isEqualTo("/token: is no token: it holds blanks or odd characters");
        tokenFile = file("token", " by-hand\n");
        assertThat(authorization(find())).isEqualTo("Bearer by-hand");
    }

    @Test
    void ofSeveralFilesTheFirstToSayItCounts() throws Exception {
        Files.createDirectory(folder.resolve("a"));
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
        assertThat(problem()).isEqualTo("/a/config, /b: there is no context 'z' (there is x, y)");
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
    void whoWeAre(String user, @Nullable String header) throws Exception {
        give(kubeconfig("https://s", user));
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
                "'token: \"a b\"' | token: is no token: it holds blanks or odd characters",
                "token: t, username: u | username: there is a token too; give one of them",
                "username: 'a:b' | username: must not hold a colon",
                "auth-provider: {name: gcp} | auth-provider: is not supported, and gone from kubectl; use exec",
                "as: admin | as: acting as somebody else is not supported",
                "client-certificate-data: '*' | client-certificate-data: is not base64",
                "client-certificate-data: QQ== | client-key: missing; client-certificate needs it",
                "client-key-data: QQ== | client-certificate: missing; client-key needs it",
                "client-certificate: none, client-key: none | client-certificate: /none does not exist",
                "client-certificate-data: QQ==, client-key-data: QQ== | client-certificate-data: holds no certificate in"
                        + " PEM (-----BEGIN CERTIFICATE-----)",
                "exec: x | exec: must be a mapping, not a string",
                "exec: {command: x} | exec.apiVersion: missing; allowed are client.authentication.k8s.io/v1 and"
                        + " client.authentication.k8s.io/v1beta1",
                "exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: x} | exec.apiVersion:"
                        + " 'client.authentication.k8s.io/v1alpha1' is not supported; allowed are"
                        + " client.authentication.k8s.io/v1 and client.authentication.k8s.io/v1beta1",
                "exec: {apiVersion: client.authentication.k8s.io/v1} | exec.command: missing; give the name or the path"
                        + " of a program",
                "exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Always} |"
                        + " exec.interactiveMode: Always needs a person at a terminal; allowed are Never and IfAvailable",
                "exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: no-no} |"
                        + " exec.interactiveMode: 'no-no' is not allowed; allowed are Never and IfAvailable",
                "exec: {apiVersion: client.authentication.k8s.io/v1, command: x, args: [1]} | exec.args[0]: must be a"
                        + " string, not a number; put it in quotes",
                "exec: {apiVersion: client.authentication.k8s.io/v1, command: x, env: [{value: y}]} | exec.env[0].name:"
                        + " missing"
            })
    void whatIsWrongWithAUser(String user, String message) throws Exception {
        give(kubeconfig("https://s", user));
        assertThat(problem()).isEqualTo("/given: users[name=u].user." + message);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "server: '' | server: missing; give a URL such as https://10.0.0.1:6443",
                "server: 's:6443' | server: 's:6443' is not allowed; give a URL such as https://10.0.0.1:6443",
                "server: 'ftp://s' | server: 'ftp://s' is not allowed; give a URL such as https://10.0.0.1:6443",
                "server: 'https://s?x' | server: 'https://s?x' is not allowed; give a URL such as https://10.0.0.1:6443",
                "certificate-authority: none | certificate-authority: /none does not exist",
                "certificate-authority-data: QQ== | certificate-authority-data: holds no certificate in PEM"
                        + " (-----BEGIN CERTIFICATE-----)",
                "insecure-skip-tls-verify: 'yes' | insecure-skip-tls-verify: must be true or false, not a string",
                "insecure-skip-tls-verify: true, certificate-authority-data: QQ== | insecure-skip-tls-verify: there is a"
                        + " certificate-authority too; give one of them",
                "tls-server-name: 10.0.0.1 | tls-server-name: must be a host name; an address is not supported",
                "proxy-url: 'socks5://p:1080' | proxy-url: a proxy that is reached by socks5 is not supported; give one"
                        + " such as http://proxy:3128",
                "proxy-url: 'https://p' | proxy-url: a proxy that is reached by https is not supported; give one such as"
                        + " http://proxy:3128",
                "proxy-url: 'http://a:b@p' | proxy-url: a proxy that wants a password is not supported",
                "proxy-url: 'http://p p' | proxy-url: is not a URL such as http://proxy:3128"
            })
    void whatIsWrongWithACluster(String cluster, String message) throws Exception {
        String text = cluster.startsWith("server") ? cluster : "server: 'https://s', " + cluster;
        give(kubeconfig("", "").replace("server: ''", text));
        assertThat(problem()).isEqualTo("/given: clusters[name=c].cluster." + message);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "[] | must be a kubeconfig, not a list",
                "'' | current-context: missing; set it, or give --context (there is none)",
                "current-context: x | there is no context 'x' (there is none)",
                "'{contexts: [{name: x}], current-context: x}' | contexts[name=x].context.cluster: missing (there is none)",
                "'{contexts: [{name: x, context: {cluster: c}}], current-context: x}' | contexts[name=x].context.cluster:"
                        + " there is no cluster 'c' (there is none)",
                "'{contexts: {x: y}}' | contexts: must be a list, not a mapping",
                "'{contexts: [{context: {}}]}' | contexts[0].name: missing",
                "'{contexts: [x]}' | contexts[0]: must be a mapping, not a string",
                "'a: [' | 'line 1, column 5: while parsing a flow node, expected the node content, but found ''<stream end>'''"
            })
    void whatIsWrongWithTheFile(String text, String message) throws Exception {
        give(text);
        assertThat(problem()).isEqualTo("/given: " + message);
    }

    @Test
    void whatIsWrongWithFlagsAndPlaces() throws Exception {
        kubeconfigs = List.of(folder.resolve("none"));
        assertThat(problem()).isEqualTo("/none: does not exist");
        kubeconfigs = List.of(folder);
        assertThat(problem()).isEqualTo(": cannot be read: Is a directory");
        kubeconfigs = List.of();

        masters = List.of("127.0.0.1:8080");
        assertThat(problem())
                .isEqualTo("--master: '127.0.0.1:8080' is not allowed; give a URL such as https://10.0.0.1:6443");
        masters = List.of("https://a");
        context = "x";
        assertThat(problem()).isEqualTo("--context is given, but --master has no contexts; give --kubeconfig");
        context = "";
        tokenFile = folder.resolve("none");
        assertThat(problem()).isEqualTo("--token-file: /none does not exist");
        tokenFile = null;
        authority = file("empty", "");
        assertThat(problem()).isEqualTo("--certificate-authority: /empty cannot be read: it is empty");
        authority = file("text", "x");
        assertThat(problem()).isEqualTo("/text: holds no certificate in PEM (-----BEGIN CERTIFICATE-----)");
        insecure = true;
        assertThat(problem())
                .isEqualTo("--certificate-authority and --insecure-skip-tls-verify are both given; give one");
        masters = List.of();
        authority = null;

        environment.put("KUBECONFIG", folder.resolve("a") + File.pathSeparator + folder.resolve("b"));
        assertThat(problem()).isEqualTo("KUBECONFIG: there is no file /a, nor /b");
        environment.clear();
        file("pod/token", "t");
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
    void theEnvironmentsProxyIsUsedAsKubectlDoes(String server, String noProxy, @Nullable String proxy)
            throws Exception {
        masters = List.of(server);
        environment.put("HTTPS_PROXY", "http://p:3128");
        environment.put("no_proxy", noProxy);
        var found = find().servers().get(0).proxy();
        assertThat(found == null ? null : found.getHostString()).isEqualTo(proxy);
    }

    @Test
    void tlsServerNameThroughAProxyIsRefused() throws Exception {
        give(kubeconfig("https://s', tls-server-name: n, proxy-url: 'http://p", ""));
        assertThat(problem())
                .isEqualTo("kubeconfig /given, context x: tls-server-name is not supported through a proxy");
    }
}
