package io.sluice.apiserver;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.sluice.apiserver.Pem.Identity;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.json.JsonMapper;

/** Exec plugins: their input, when they run, and the messages when they fail. */
final class ExecPluginTest {
    private static final String V1 = "client.authentication.k8s.io/v1";

    @TempDir
    private Path directory;

    private Instant now = Instant.parse("2026-01-01T00:00:00Z");
    private final Clock clock = new Clock() {
        @Override
        public ZoneId getZone() {
            return ZoneOffset.UTC;
        }

        @Override
        public Clock withZone(ZoneId zone) {
            return this;
        }

        @Override
        public Instant instant() {
            return now;
        }
    };

    /** Writes a shell script next to the kubeconfig. */
    private Path script(String text) throws IOException {
        Path script = Files.writeString(directory.resolve("plugin"), "#!/bin/sh\n" + text + "\n");
        assertThat(script.toFile().setExecutable(true)).isTrue();
        return script;
    }

    private static String prints(String status) {
        return "echo '{\"apiVersion\":\"" + V1 + "\",\"kind\":\"ExecCredential\",\"status\":{" + status + "}}'";
    }

    private ExecPlugin plugin(String command, Duration timeout) {
        return new ExecPlugin(
                new ExecPlugin.Spec(
                        "f: users[name=u].user.exec",
                        directory,
                        V1,
                        command,
                        List.of("one", "two words"),
                        Map.of("MINE", "yes"),
                        "install it\n  so",
                        null,
                        timeout),
                clock);
    }

    private ExecPlugin plugin(String text) throws IOException {
        script(text);
        return plugin("./plugin", Duration.ofSeconds(30));
    }

    private static String failure(ExecPlugin plugin) {
        IOException e = catchThrowableOfType(IOException.class, plugin::credential);
        assertThat(e).isNotNull();
        return Objects.requireNonNull(e.getMessage());
    }

    private long runs() throws IOException {
        return Files.readAllLines(directory.resolve("runs")).size();
    }

    @Test
    void keepsACredentialUntilTenSecondsBeforeItExpires() throws Exception {
        ExecPlugin plugin = plugin("echo >>\"$(dirname \"$0\")/runs\"\n"
                + prints("\"token\":\"t\",\"expirationTimestamp\":\"2026-01-01T01:00:00+00:00\""));
        assertThat(plugin.credential().token()).isEqualTo("t");
        now = Instant.parse("2026-01-01T00:59:49Z");
        assertThat(plugin.credential().token()).isEqualTo("t");
        assertThat(runs()).isEqualTo(1);
        now = Instant.parse("2026-01-01T00:59:50Z");
        plugin.credential();
        assertThat(runs()).isEqualTo(2);
    }

    @Test
    void runsAgainOnceForARejectedToken() throws Exception {
        ExecPlugin plugin =
                plugin("echo >>\"$(dirname \"$0\")/runs\"\n" + prints("\"token\":\"t'$(wc -l <$(dirname $0)/runs)'\""));
        assertThat(plugin.credential().token()).isEqualTo("t1");
        assertThat(plugin.credential().token()).isEqualTo("t1");
        plugin.reportRejected("t1");
        assertThat(plugin.credential().token()).isEqualTo("t2");
        // A concurrent request used the old token, too.
        plugin.reportRejected("t1");
        assertThat(plugin.credential().token()).isEqualTo("t2");
    }

    @Test
    void waitsFiveSecondsAfterAFailure() throws Exception {
        ExecPlugin plugin = plugin("echo >>\"$(dirname \"$0\")/runs\"; exit 3");
        String first = failure(plugin);
        assertThat(first).contains("exit code 3");
        now = now.plusSeconds(4);
        assertThat(failure(plugin)).isEqualTo(first);
        assertThat(runs()).isEqualTo(1);
        now = now.plusSeconds(1);
        assertThat(failure(plugin)).isEqualTo(first);
        assertThat(runs()).isEqualTo(2);
    }

    @Test
    void passesArgumentsAndVariablesAndNoInput() throws Exception {
        ExecPlugin plugin = plugin("cat\n" + prints("\"token\":\"'\"$#-$2-$MINE\"'\""));
        assertThat(plugin.credential().token()).isEqualTo("2-two words-yes");
    }

    @Test
    void ignoresStderrOfASuccessfulRun() throws Exception {
        ExecPlugin plugin = plugin("head -c 300000 /dev/zero | tr '\\0' 'x' >&2\n" + prints("\"token\":\"t\""));
        assertThat(plugin.credential().token()).isEqualTo("t");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "echo secret | printed invalid JSON",
                "head -c 1048577 /dev/zero | printed more than 1048576 bytes",
                "echo '{}' | did not print an ExecCredential of client.authentication.k8s.io/v1",
                "true | did not print an ExecCredential of client.authentication.k8s.io/v1",
                "echo one >&2; echo two >&2; exit 3 | ended with exit code 3: one / two",
                "exit 1 | ended with exit code 1"
            })
    void reportsAFailedRunInOneLine(String text, String message) throws Exception {
        assertThat(failure(plugin(text))).isEqualTo("f: users[name=u].user.exec: ./plugin " + message);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "\"x\":1 | printed neither status.token nor status.clientCertificateData",
                "\"token\":1234 | printed an invalid ExecCredential: status.token: must be a string, not a number; put it"
                        + " in quotes",
                "\"clientKeyData\":\"k\" | printed only one of status.clientCertificateData and status.clientKeyData",
                "\"token\":\"t\",\"expirationTimestamp\":\"soon\" | printed an invalid status.expirationTimestamp; must be"
                        + " a time such as 2026-01-31T12:00:00Z"
            })
    void reportsAnInvalidCredentialInOneLine(String status, String message) throws Exception {
        assertThat(failure(plugin(prints(status)))).isEqualTo("f: users[name=u].user.exec: ./plugin " + message);
    }

    @Test
    void reportsAMissingProgramWithTheInstallHint() throws Exception {
        assertThat(failure(plugin("no-such-program", Duration.ofSeconds(30))))
                .isEqualTo("f: users[name=u].user.exec.command: no-such-program: program not found on the PATH;"
                        + " install it so");
        assertThat(failure(plugin("./plugin", Duration.ofSeconds(30))))
                .isEqualTo("f: users[name=u].user.exec.command: ./plugin: program not found; install it so");
        Files.writeString(directory.resolve("plugin"), "");
        assertThat(failure(plugin("./plugin", Duration.ofSeconds(30))))
                .isEqualTo("f: users[name=u].user.exec.command: ./plugin: permission denied; install it so");
    }

    @Test
    void killsAProgramThatHangs() throws Exception {
        script("echo $$ >\"$(dirname \"$0\")/pid\"\nexec sleep 600");
        assertThat(failure(plugin("./plugin", Duration.ofSeconds(1))))
                .isEqualTo("f: users[name=u].user.exec: ./plugin did not end within 1 s");
        long pid = Long.parseLong(Files.readString(directory.resolve("pid")).strip());
        org.awaitility.Awaitility.await()
                .until(() ->
                        ProcessHandle.of(pid).map(process -> !process.isAlive()).orElse(true));
    }

    @Test
    void usesClusterInfoTokenAndCertificate() throws Exception {
        TestAuthority authority = TestAuthority.in(Files.createDirectory(directory.resolve("authority")));
        Identity clientIdentity = authority.client("EC", "client");
        Identity server = authority.server("ip:127.0.0.1");
        try (FakeApiServer fake = new FakeApiServer(FakeApiServer.responding(200, "{}"))
                .https(server, authority.certificate())
                .requireBearer("first")
                .start()) {
            Files.writeString(directory.resolve("ca.crt"), authority.certificate());
            Files.writeString(directory.resolve("token"), "first");
            String identity =
                    "\"clientCertificateData\":" + JsonMapper.shared().writeValueAsString(clientIdentity.certificate())
                            + ",\"clientKeyData\":" + JsonMapper.shared().writeValueAsString(clientIdentity.key());
            Files.writeString(directory.resolve("status"), identity.substring(1));
            script("cd \"$(dirname \"$0\")\"; printf %s \"$KUBERNETES_EXEC_INFO\" >info\n"
                    + "printf '{\"apiVersion\":\"" + V1
                    + "\",\"kind\":\"ExecCredential\",\"status\":{\"token\":\"%s\",\"' \"$(cat token)\"\n"
                    + "cat status; echo '}}'");
            Path kubeconfig = Files.writeString(directory.resolve("kubeconfig"), """
                    clusters:
                    - name: c
                      cluster:
                        server: SERVER
                        certificate-authority: ca.crt
                        extensions:
                        - {name: client.authentication.k8s.io/exec, extension: {audience: a}}
                    contexts: [{name: x, context: {cluster: c, user: u}}]
                    users:
                    - name: u
                      user:
                        exec:
                          apiVersion: client.authentication.k8s.io/v1
                          command: ./plugin
                          provideClusterInfo: true
                          interactiveMode: Never
                    current-context: x
                    """.replace("SERVER", fake.url()));
            ApiAccess access = ApiAccess.find(
                    new ApiOptions(List.of(kubeconfig), "", List.of(), null, null, false),
                    Map.of(),
                    directory,
                    directory);
            try (ApiClient client = new ApiClient(access)) {
                client.get("/").close();
                Files.writeString(directory.resolve("token"), "second");
                fake.requireBearer("second");
                try (ApiResponse response = client.get("/")) {
                    assertThat(response.status()).isEqualTo(200);
                }
            }
            assertThat(fake.requests()).hasSize(3);
            var info = JsonMapper.shared().readTree(Files.readString(directory.resolve("info")));
            assertThat(info.path("apiVersion").asString()).isEqualTo(V1);
            assertThat(info.path("kind").asString()).isEqualTo("ExecCredential");
            assertThat(info.at("/spec/interactive").booleanValue()).isFalse();
            assertThat(info.at("/spec/cluster/server").asString()).isEqualTo(fake.url());
            assertThat(info.at("/spec/cluster/config/audience").asString()).isEqualTo("a");
            assertThat(info.at("/spec/cluster/certificate-authority-data").asString())
                    .isNotEmpty();
        }
    }
}
