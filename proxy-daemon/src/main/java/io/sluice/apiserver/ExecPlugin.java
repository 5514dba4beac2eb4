package io.sluice.apiserver;

import io.sluice.apiserver.Kubeconfig.Section;
import io.sluice.apiserver.Pem.Identity;
import io.sluice.document.FieldReader;
import io.sluice.document.Problem;
import io.sluice.thread.Supervisor;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Clock;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * Exec credential plugin of a kubeconfig. Runs the program to get the first credential, and again whenever the
 * credential is about to expire or was rejected by a server.
 */
final class ExecPlugin {
    private static final Logger log = LoggerFactory.getLogger(ExecPlugin.class);
    private static final Duration TIMEOUT = Duration.ofSeconds(30);
    private static final Duration EXPIRY_MARGIN = Duration.ofSeconds(10);

    /**
     * Pause after a failed run. Without it, the watch of every collection would start another run, and each run may use
     * the network or count as a failed login.
     */
    private static final Duration RETRY_DELAY = Duration.ofSeconds(5);

    /**
     * Configuration of the plugin.
     *
     * @param place file and field path of {@code exec}, shown in messages
     * @param directory directory of the kubeconfig; a command that contains a slash is relative to it
     * @param cluster cluster info that is passed to the plugin; null for none
     */
    record Spec(
            String place,
            Path directory,
            String apiVersion,
            String command,
            List<String> arguments,
            Map<String, String> environment,
            String installHint,
            @Nullable JsonNode cluster,
            Duration timeout) {}

    /** Output of the plugin. */
    record Credential(
            @Nullable String token,
            @Nullable Identity identity,
            @Nullable Instant expires) {
        boolean isFresh(Instant now) {
            return expires == null || now.isBefore(expires.minus(EXPIRY_MARGIN));
        }
    }

    private final Spec spec;
    private final Clock clock;
    private @Nullable Credential current;
    private @Nullable String lastStderr;
    private @Nullable IOException failure;
    private Instant failedAt = Instant.MIN;

    ExecPlugin(Spec spec, Clock clock) {
        this.spec = spec;
        this.clock = clock;
    }

    /**
     * Returns the plugin that the {@code exec} section of a user configures.
     *
     * @throws ApiAccessException if the section is invalid
     */
    static ExecPlugin configuredBy(Section exec, Section cluster) throws ApiAccessException {
        String version = exec.string("apiVersion");
        List<String> versions = List.of("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1");
        if (!versions.contains(version)) {
            throw exec.invalid(
                    "apiVersion",
                    (version.isEmpty() ? "missing" : Problem.quoted(version) + " is not supported") + "; must be "
                            + String.join(" or ", versions));
        }
        String command = exec.string("command");
        if (command.isBlank() || command.indexOf('\0') >= 0) {
            throw exec.invalid("command", "missing; must be the name or path of a program");
        }
        String mode = exec.string("interactiveMode");
        if (mode.equals("Always")) {
            throw exec.invalid(
                    "interactiveMode",
                    "'Always' requires a terminal, which a daemon does not have; must be Never or IfAvailable");
        }
        if (!List.of("", "Never", "IfAvailable").contains(mode)) {
            throw exec.invalid("interactiveMode", Problem.quoted(mode) + " is invalid; must be Never or IfAvailable");
        }
        return new ExecPlugin(
                new Spec(
                        exec.place(),
                        exec.directory(),
                        version,
                        command,
                        exec.strings("args"),
                        exec.pairs("env"),
                        exec.string("installHint"),
                        exec.bool("provideClusterInfo") ? clusterInfo(cluster) : null,
                        TIMEOUT),
                Clock.systemUTC());
    }

    /** Returns the {@code spec.cluster} of the ExecCredential that is passed to a plugin. */
    private static JsonNode clusterInfo(Section cluster) throws ApiAccessException {
        ObjectNode info = JsonMapper.shared().createObjectNode();
        for (String field : List.of("server", "tls-server-name", "proxy-url")) {
            if (cluster.has(field)) {
                info.put(field, cluster.string(field));
            }
        }
        if (cluster.bool("insecure-skip-tls-verify")) {
            info.put("insecure-skip-tls-verify", true);
        }
        FileCredential authority = cluster.credential("certificate-authority");
        if (authority != null) {
            info.put(
                    "certificate-authority-data",
                    Base64.getEncoder().encodeToString(authority.text().getBytes(StandardCharsets.UTF_8)));
        }
        for (Section extension : cluster.items("extensions")) {
            if (extension.string("name").equals("client.authentication.k8s.io/exec")) {
                info.set("config", extension.value("extension"));
            }
        }
        return info;
    }

    /**
     * Returns the current credential. If there is none that is fresh, runs the program and blocks until it ends. Fails
     * immediately for {@link #RETRY_DELAY} after a failed run.
     */
    synchronized Credential credential() throws IOException {
        Instant now = clock.instant();
        Credential known = current;
        if (known != null && known.isFresh(now)) {
            return known;
        }
        if (failure != null && !now.isBefore(failedAt) && now.isBefore(failedAt.plus(RETRY_DELAY))) {
            throw new IOException(failure.getMessage(), failure);
        }
        try {
            known = run();
            current = known;
            failure = null;
            return known;
        } catch (InterruptedIOException e) {
            throw e;
        } catch (IOException e) {
            failure = e;
            failedAt = clock.instant();
            throw e;
        }
    }

    /** Discards a credential that a server rejected, unless it has already been replaced. */
    synchronized void reportRejected(@Nullable String token) {
        if (current != null && (token == null || token.equals(current.token()))) {
            current = null;
        }
    }

    private Credential run() throws IOException {
        Process process = start();
        // Read both streams concurrently, because a full pipe would block the program.
        CompletableFuture<byte[]> output =
                Supervisor.call("exec-plugin-output", () -> readLimited(process.getInputStream()));
        CompletableFuture<byte[]> errors =
                Supervisor.call("exec-plugin-output", () -> readLimited(process.getErrorStream()));
        long deadlineNanos = System.nanoTime() + spec.timeout().toNanos();
        try {
            if (!process.waitFor(deadlineNanos - System.nanoTime(), TimeUnit.NANOSECONDS)) {
                throw error("did not end within " + spec.timeout().toSeconds() + " s");
            }
            // A child process that is still running may keep the output open.
            byte[] stdout = output.get(Math.max(1, deadlineNanos - System.nanoTime()), TimeUnit.NANOSECONDS);
            byte[] stderrBytes = errors.get(Math.max(1, deadlineNanos - System.nanoTime()), TimeUnit.NANOSECONDS);
            String stderr = new String(stderrBytes, StandardCharsets.UTF_8).strip();
            if (!stderr.isEmpty() && !stderr.equals(lastStderr)) {
                log.debug("{}: {}: {}", spec.place(), spec.command(), Problem.oneLine(stderr));
                lastStderr = stderr;
            }
            if (process.exitValue() != 0) {
                throw error("ended with exit code " + process.exitValue()
                        + (stderr.isEmpty() ? "" : ": " + stderr.replaceAll("\\s*\\R\\s*", " / ")));
            }
            return parse(stdout);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw (IOException) new InterruptedIOException("interrupted").initCause(e);
        } catch (TimeoutException e) {
            throw error("exited, but a child process kept its output open after "
                    + spec.timeout().toSeconds() + " s");
        } catch (ExecutionException e) {
            throw error("failed: cannot read its output: " + e.getCause());
        } finally {
            if (process.isAlive()) {
                process.descendants().forEach(ProcessHandle::destroyForcibly);
                process.destroyForcibly();
            }
        }
    }

    private Process start() throws IOException {
        List<String> commandLine = new ArrayList<>();
        boolean path = spec.command().indexOf('/') >= 0;
        commandLine.add(path ? spec.directory().resolve(spec.command()).toString() : spec.command());
        commandLine.addAll(spec.arguments());
        ProcessBuilder builder = new ProcessBuilder(commandLine).redirectInput(new File("/dev/null"));
        builder.environment().putAll(spec.environment());
        builder.environment().put("KUBERNETES_EXEC_INFO", execInfo());
        try {
            return builder.start();
        } catch (IOException e) {
            String message = String.valueOf(e.getMessage());
            // Java 17 reports "error=2, No such file or directory", Java 25 "error: 2 (No such file or directory)".
            String reason = message.contains("No such file or directory")
                    ? "program not found" + (path ? "" : " on the PATH")
                    : message.contains("Permission denied") ? "permission denied" : message;
            throw new IOException(
                    Problem.oneLine(spec.place() + ".command: " + spec.command() + ": " + reason
                            + (spec.installHint().isBlank()
                                    ? ""
                                    : "; " + spec.installHint().strip().replaceAll("\\s*\\R\\s*", " "))),
                    e);
        }
    }

    private String execInfo() {
        ObjectNode execInfo = JsonMapper.shared().createObjectNode();
        execInfo.put("apiVersion", spec.apiVersion());
        execInfo.put("kind", "ExecCredential");
        ObjectNode requested = execInfo.putObject("spec");
        // A daemon has no terminal.
        requested.put("interactive", false);
        if (spec.cluster() != null) {
            requested.set("cluster", spec.cluster());
        }
        return execInfo.toString();
    }

    private static byte[] readLimited(InputStream in) throws IOException {
        try (in) {
            byte[] readLimited = in.readNBytes(ApiLimits.MAX_PLUGIN_BYTES + 1);
            in.transferTo(OutputStream.nullOutputStream());
            return readLimited;
        }
    }

    private Credential parse(byte[] stdout) throws IOException {
        if (stdout.length > ApiLimits.MAX_PLUGIN_BYTES) {
            throw error("printed more than " + ApiLimits.MAX_PLUGIN_BYTES + " bytes");
        }
        JsonNode root;
        try {
            root = ApiLimits.JSON.readTree(new ByteArrayInputStream(stdout));
        } catch (JacksonException e) {
            // Do not quote the output, because it may contain a token.
            throw error("printed invalid JSON");
        }
        List<Problem> problems = new ArrayList<>();
        FieldReader credential = FieldReader.root(root, new FieldReader.Report(spec.place(), "", problems, true));
        if (!credential.get("kind").stringOrEmpty().equals("ExecCredential")
                || !credential.get("apiVersion").stringOrEmpty().equals(spec.apiVersion())) {
            throw error("did not print an ExecCredential of " + spec.apiVersion());
        }
        FieldReader status = credential.get("status").object();
        String token = text(status, "token");
        String certificate = text(status, "clientCertificateData");
        String key = text(status, "clientKeyData");
        String expiration = text(status, "expirationTimestamp");
        if (!problems.isEmpty()) {
            Problem first = problems.get(0);
            throw error("printed an invalid ExecCredential: " + first.field() + ": " + first.message());
        }
        if ((certificate == null) != (key == null)) {
            throw error("printed only one of status.clientCertificateData and status.clientKeyData");
        }
        if (token == null && certificate == null) {
            throw error("printed neither status.token nor status.clientCertificateData");
        }
        Identity identity = certificate == null || key == null ? null : new Identity(certificate, key);
        return new Credential(token == null ? null : token.strip(), identity, expiry(expiration));
    }

    private static @Nullable String text(FieldReader status, String name) {
        String text = status.get(name).string("");
        return text.isEmpty() ? null : text;
    }

    private @Nullable Instant expiry(@Nullable String text) throws IOException {
        try {
            return text == null ? null : OffsetDateTime.parse(text).toInstant();
        } catch (DateTimeException e) {
            throw (IOException)
                    error("printed an invalid status.expirationTimestamp; must be a time such as 2026-01-31T12:00:00Z")
                            .initCause(e);
        }
    }

    private IOException error(String what) {
        return new IOException(Problem.oneLine(spec.place() + ": " + spec.command() + " " + what));
    }
}
