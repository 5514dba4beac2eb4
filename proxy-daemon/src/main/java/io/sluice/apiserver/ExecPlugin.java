package io.sluice.apiserver;

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
 * A program that says who we are, as kubeconfigs name one under {@code exec}: runs it when there is nothing yet, when
 * what it said is about to expire, and when the server no longer takes it.
 */
final class ExecPlugin {
    private static final Logger log = LoggerFactory.getLogger(ExecPlugin.class);
    private static final Duration BEFORE_EXPIRY = Duration.ofSeconds(10);

    /** Every collection asks by itself, and a program may ask the network, or lock an account. */
    private static final Duration AFTER_FAILURE = Duration.ofSeconds(5);

    /**
     * What the kubeconfig says of it.
     *
     * @param place the path of {@code exec}, with the file before it, for people
     * @param folder of the kubeconfig: a command with a slash in it is looked for from there
     * @param cluster what the plugin is told of the cluster; null if it is not to be told
     */
    record Spec(
            String place,
            Path folder,
            String apiVersion,
            String command,
            List<String> arguments,
            Map<String, String> environment,
            String installHint,
            @Nullable JsonNode cluster,
            Duration timeout) {}

    /** What it said. */
    record Credential(
            @Nullable String token,
            @Nullable Identity identity,
            @Nullable Instant expires) {
        boolean isFresh(Instant now) {
            return expires == null || now.isBefore(expires.minus(BEFORE_EXPIRY));
        }
    }

    private final Spec spec;
    private final Clock clock;
    private @Nullable Credential current;
    private @Nullable String lastErrors;
    private @Nullable IOException failure;
    private Instant failed = Instant.MIN;

    ExecPlugin(Spec spec, Clock clock) {
        this.spec = spec;
        this.clock = clock;
    }

    /** What it says now; may take as long as the program does. What failed is not run again for a while. */
    synchronized Credential credential() throws IOException {
        Instant now = clock.instant();
        Credential known = current;
        if (known != null && known.isFresh(now)) {
            return known;
        }
        if (failure != null && !now.isBefore(failed) && now.isBefore(failed.plus(AFTER_FAILURE))) {
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
            failed = clock.instant();
            throw e;
        }
    }

    /** Forgets what it said, unless it has already said something else. */
    synchronized void refused(@Nullable String token) {
        if (current != null && (token == null || token.equals(current.token()))) {
            current = null;
        }
    }

    private Credential run() throws IOException {
        Process process = start();
        // Both have to be read at the same time, or the program may wait for the other to be.
        CompletableFuture<byte[]> output = Supervisor.call("exec-plugin-output", () -> all(process.getInputStream()));
        CompletableFuture<byte[]> errors = Supervisor.call("exec-plugin-output", () -> all(process.getErrorStream()));
        long deadlineNanos = System.nanoTime() + spec.timeout().toNanos();
        try {
            if (!process.waitFor(deadlineNanos - System.nanoTime(), TimeUnit.NANOSECONDS)) {
                throw failed("gave no answer within " + spec.timeout().toSeconds() + " s");
            }
            // What it left running may hold its output open.
            byte[] said = output.get(Math.max(1, deadlineNanos - System.nanoTime()), TimeUnit.NANOSECONDS);
            byte[] complained = errors.get(Math.max(1, deadlineNanos - System.nanoTime()), TimeUnit.NANOSECONDS);
            String complaint = new String(complained, StandardCharsets.UTF_8).strip();
            if (!complaint.isEmpty() && !complaint.equals(lastErrors)) {
                log.debug("{}: {}: {}", spec.place(), spec.command(), Problem.oneLine(complaint));
                lastErrors = complaint;
            }
            if (process.exitValue() != 0) {
                throw failed("ended with exit code " + process.exitValue()
                        + (complaint.isEmpty() ? "" : ": " + complaint.replaceAll("\\s*\\R\\s*", " / ")));
            }
            return parse(said);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw (IOException) new InterruptedIOException("interrupted").initCause(e);
        } catch (TimeoutException e) {
            throw failed("ended, but its output was still open after "
                    + spec.timeout().toSeconds() + " s");
        } catch (ExecutionException e) {
            throw failed("its output cannot be read: " + e.getCause());
        } finally {
            if (process.isAlive()) {
                process.descendants().forEach(ProcessHandle::destroyForcibly);
                process.destroyForcibly();
            }
        }
    }

    private Process start() throws IOException {
        List<String> line = new ArrayList<>();
        boolean path = spec.command().indexOf('/') >= 0;
        line.add(path ? spec.folder().resolve(spec.command()).toString() : spec.command());
        line.addAll(spec.arguments());
        ProcessBuilder builder = new ProcessBuilder(line).redirectInput(new File("/dev/null"));
        builder.environment().putAll(spec.environment());
        builder.environment().put("KUBERNETES_EXEC_INFO", info());
        try {
            return builder.start();
        } catch (IOException e) {
            String message = String.valueOf(e.getMessage());
            // Java 17 says "error=2, No such file or directory", Java 25 "error: 2 (No such file or directory)".
            String reason = message.contains("No such file or directory")
                    ? "there is no such program" + (path ? "" : " on the PATH")
                    : message.contains("Permission denied") ? "permission denied" : message;
            throw new IOException(
                    Problem.oneLine(spec.place() + ".command: " + spec.command() + ": " + reason
                            + (spec.installHint().isBlank()
                                    ? ""
                                    : "; " + spec.installHint().strip().replaceAll("\\s*\\R\\s*", " "))),
                    e);
        }
    }

    private String info() {
        ObjectNode info = JsonMapper.shared().createObjectNode();
        info.put("apiVersion", spec.apiVersion());
        info.put("kind", "ExecCredential");
        ObjectNode asked = info.putObject("spec");
        // A daemon has nobody to ask.
        asked.put("interactive", false);
        if (spec.cluster() != null) {
            asked.set("cluster", spec.cluster());
        }
        return info.toString();
    }

    private static byte[] all(InputStream in) throws IOException {
        try (in) {
            byte[] all = in.readNBytes(ApiLimits.MAX_PLUGIN_BYTES + 1);
            in.transferTo(OutputStream.nullOutputStream());
            return all;
        }
    }

    private Credential parse(byte[] said) throws IOException {
        if (said.length > ApiLimits.MAX_PLUGIN_BYTES) {
            throw failed("printed more than " + ApiLimits.MAX_PLUGIN_BYTES + " bytes");
        }
        JsonNode root;
        try {
            root = ApiLimits.JSON.readTree(new ByteArrayInputStream(said));
        } catch (JacksonException e) {
            // Not quoted: there may be a token in it.
            throw failed("printed something that is not JSON");
        }
        List<Problem> problems = new ArrayList<>();
        FieldReader credential = FieldReader.root(root, new FieldReader.Report(spec.place(), "", problems, true));
        if (!credential.get("kind").stringOrEmpty().equals("ExecCredential")
                || !credential.get("apiVersion").stringOrEmpty().equals(spec.apiVersion())) {
            throw failed("printed no ExecCredential of " + spec.apiVersion());
        }
        FieldReader status = credential.get("status").object();
        String token = text(status, "token");
        String certificate = text(status, "clientCertificateData");
        String key = text(status, "clientKeyData");
        String expiration = text(status, "expirationTimestamp");
        if (!problems.isEmpty()) {
            Problem first = problems.get(0);
            throw failed("printed an unusable ExecCredential: " + first.field() + ": " + first.message());
        }
        if ((certificate == null) != (key == null)) {
            throw failed("printed only one of status.clientCertificateData and status.clientKeyData");
        }
        if (token == null && certificate == null) {
            throw failed("printed neither status.token nor status.clientCertificateData");
        }
        Identity identity = certificate == null || key == null ? null : new Identity(certificate, key);
        return new Credential(token == null ? null : token.strip(), identity, expiry(expiration));
    }

    private static @Nullable String text(FieldReader status, String name) {
        String text = status.get(name).text("");
        return text.isEmpty() ? null : text;
    }

    private @Nullable Instant expiry(@Nullable String text) throws IOException {
        try {
            return text == null ? null : OffsetDateTime.parse(text).toInstant();
        } catch (DateTimeException e) {
            throw (IOException)
                    failed("printed a status.expirationTimestamp that is no time such as 2026-01-31T12:00:00Z")
                            .initCause(e);
        }
    }

    private IOException failed(String what) {
        return new IOException(Problem.oneLine(spec.place() + ": " + spec.command() + " " + what));
    }
}
