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

/** Programs that say who we are: what they are told, when they run, and what is said when they fail. */
final class ExecPluginTest {
    private static final String V1 = "client.authentication.k8s.io/v1";

    @TempDir
    private Path folder;

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

    /** A shell script beside the kubeconfig. */
    private Path script(String text) throws IOException {
        Path script = Files.writeString(folder.resolve("plugin"), "#!/bin/sh\n" + text + "\n");
        assertThat(script.toFile().setExecutable(true)).isTrue();
        return script;
    }

    private static String says(String status) {
        return "echo '{\"apiVersion\":\"" + V1 + "\",\"kind\":\"ExecCredential\",\"status\":{" + status + "}}'";
    }

    private ExecPlugin plugin(String command, Duration timeout) {
        return new ExecPlugin(
                new ExecPlugin.Spec(
                        "f: users[name=u].user.exec",
                        folder,
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
        return Files.readAllLines(folder.resolve("runs")).size();
    }

    @Test
    void whatItSaysIsKeptUntilTenSecondsBeforeItExpires() throws Exception {
        ExecPlugin plugin = plugin("echo >>\"$(dirname \"$0\")/runs\"\n"
                + says("\"token\":\"t\",\"expirationTimestamp\":\"2026-01-01T01:00:00+00:00\""));
        assertThat(plugin.credential().token()).isEqualTo("t");
        now = Instant.parse("2026-01-01T00:59:49Z");
        assertThat(plugin.credential().token()).isEqualTo("t");
        assertThat(runs()).isEqualTo(1);
        now = Instant.parse("2026-01-01T00:59:50Z");
        plugin.credential();
        assertThat(runs()).isEqualTo(2);
    }

    @Test
    void itRunsAgainOnceForWhatWasRefused() throws Exception {
        ExecPlugin plugin =
                plugin("echo >>\"$(dirname \"$0\")/runs\"\n" + says("\"token\":\"t'$(wc -l <$(dirname $0)/runs)'\""));
        assertThat(plugin.credential().token()).isEqualTo("t1");
        assertThat(plugin.credential().token()).isEqualTo("t1");
        plugin.refused("t1");
        assertThat(plugin.credential().token()).isEqualTo("t2");
        // Somebody else's request had the old one, too.
        plugin.refused("t1");
        assertThat(plugin.credential().token()).isEqualTo("t2");
    }

    @Test
    void whatFailedRestsForFiveSeconds() throws Exception {
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
    void argumentsVariablesAndNothingToReadFrom() throws Exception {
        ExecPlugin plugin = plugin("cat\n" + says("\"token\":\"'\"$#-$2-$MINE\"'\""));
        assertThat(plugin.credential().token()).isEqualTo("2-two words-yes");
    }

    @Test
    void whatItComplainsOfIsNotItsAnswer() throws Exception {
        ExecPlugin plugin = plugin("head -c 300000 /dev/zero | tr '\\0' 'x' >&2\n" + says("\"token\":\"t\""));
        assertThat(plugin.credential().token()).isEqualTo("t");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "echo secret | printed something that is not JSON",
                "head -c 1048577 /dev/zero | printed more than 1048576 bytes",
                "echo '{}' | printed no ExecCredential of client.authentication.k8s.io/v1",
                "true | printed no ExecCredential of client.authentication.k8s.io/v1",
                "echo one >&2; echo two >&2; exit 3 | ended with exit code 3: one / two",
                "exit 1 | ended with exit code 1"
            })
    void whatGoesWrongIsOneLine(String text, String message) throws Exception {
        assertThat(failure(plugin(text))).isEqualTo("f: users[name=u].user.exec: ./plugin " + message);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "\"x\":1 | printed neither status.token nor status.clientCertificateData",
                "\"token\":1234 | printed an unusable ExecCredential: status.token: must be a string, not a number; put it"
                        + " in quotes",
                "\"clientKeyData\":\"k\" | printed only one of status.clientCertificateData and status.clientKeyData",
                "\"token\":\"t\",\"expirationTimestamp\":\"soon\" | printed a status.expirationTimestamp that is no time"
                        + " such as 2026-01-31T12:00:00Z"
            })
    void whatIsWrongWithItsAnswerIsOneLine(String status, String message) throws Exception {
        assertThat(failure(plugin(says(status)))).isEqualTo("f: users[name=u].user.exec: ./plugin " + message);
    }

    @Test
    void aProgramThatIsMissingIsNamedWithWhatToDo() throws Exception {
        assertThat(failure(plugin("no-such-program", Duration.ofSeconds(30))))
                .isEqualTo("f: users[name=u].user.exec.command: no-such-program: there is no such program on the PATH;"
                        + " install it so");
        assertThat(failure(plugin("./plugin", Duration.ofSeconds(30))))
                .isEqualTo("f: users[name=u].user.exec.command: ./plugin: there is no such program; install it so");
        Files.writeString(folder.resolve("plugin"), "");
        assertThat(failure(plugin("./plugin", Duration.ofSeconds(30))))
                .isEqualTo("f: users[name=u].user.exec.command: ./plugin: permission denied; install it so");
    }

    @Test
    void aProgramThatHangsIsEnded() throws Exception {
        script("echo $$ >\"$(dirname \"$0\")/pid\"\nexec sleep 600");
        assertThat(failure(plugin("./plugin", Duration.ofSeconds(1))))
                .isEqualTo("f: users[name=u].user.exec: ./plugin gave no answer within 1 s");
        long pid = Long.parseLong(Files.readString(folder.resolve("pid")).strip());
        org.awaitility.Awaitility.await()
                .until(() ->
                        ProcessHandle.of(pid).map(process -> !process.isAlive()).orElse(true));
    }

    @Test
    void clusterInfoTokenAndCertificateFromAKubeconfig() throws Exception {
        TestAuthority authority = TestAuthority.in(Files.createDirectory(folder.resolve("authority")));
        Identity us = authority.client("EC", "us");
        Identity server = authority.server("ip:127.0.0.1");
        try (FakeApiServer fake = new FakeApiServer(FakeApiServer.saying(200, "{}"))
                .https(server, authority.certificate())
                .demandBearer("first")
                .start()) {
            Files.writeString(folder.resolve("ca.crt"), authority.certificate());
            Files.writeString(folder.resolve("token"), "first");
            String identity = "\"clientCertificateData\":" + JsonMapper.shared().writeValueAsString(us.certificate())
                    + ",\"clientKeyData\":" + JsonMapper.shared().writeValueAsString(us.key());
            Files.writeString(folder.resolve("status"), identity.substring(1));
            script("cd \"$(dirname \"$0\")\"; printf %s \"$KUBERNETES_EXEC_INFO\" >info\n"
                    + "printf '{\"apiVersion\":\"" + V1
                    + "\",\"kind\":\"ExecCredential\",\"status\":{\"token\":\"%s\",\"' \"$(cat token)\"\n"
                    + "cat status; echo '}}'");
            Path kubeconfig = Files.writeString(folder.resolve("kubeconfig"), """
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
                    new ApiOptions(List.of(kubeconfig), "", List.of(), null, null, false), Map.of(), folder, folder);
            try (ApiClient client = new ApiClient(access)) {
                client.get("/").close();
                Files.writeString(folder.resolve("token"), "second");
                fake.demandBearer("second");
                try (ApiResponse answer = client.get("/")) {
                    assertThat(answer.status()).isEqualTo(200);
                }
            }
            assertThat(fake.requests()).hasSize(3);
            var info = JsonMapper.shared().readTree(Files.readString(folder.resolve("info")));
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
