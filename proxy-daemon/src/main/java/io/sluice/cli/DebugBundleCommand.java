package io.sluice.cli;

import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import tools.jackson.databind.JsonNode;

/** {@code sluice debug-bundle}: collects what a report of a problem needs into one file. */
@Command(
        name = "debug-bundle",
        description = "Collects what a report of a problem needs into one archive: status, configuration, Services,"
                + " endpoints, connections, events and metrics of a running Sluice, and the rules in the kernel. Works"
                + " also if Sluice does not respond. Addresses and names of Services in the archive identify your"
                + " workloads; the configuration has no secrets.",
        abbreviateSynopsis = true,
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  sudo sluice debug-bundle",
            "  sluice debug-bundle --output /tmp/bundle.tar.gz",
            "  sluice debug-bundle --output /tmp/bundle        # a directory instead of an archive",
            "",
            "The archive lists in collection.txt what could not be collected, and why.",
            "Exit codes: 0 the archive was written, 1 it could not be written, 2 invalid command line."
        })
final class DebugBundleCommand extends AdminCommand {
    private static final String ARCHIVE = ".tar.gz";
    private static final DateTimeFormatter TIME =
            DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'", Locale.ROOT).withZone(ZoneOffset.UTC);

    /** Requests in a row without a response after which the daemon is considered unresponsive. */
    private static final int MAX_UNAVAILABLE = 2;

    @Option(
            names = "--output",
            paramLabel = "PATH",
            description =
                    "File to write, which must not exist; a directory if the name does not end in .tar.gz. Default:"
                            + " sluice-debug-TIME.tar.gz in the current directory.")
    private @Nullable Path output;

    @Option(
            names = "--limit",
            paramLabel = "N",
            defaultValue = "1000",
            description = "Maximum number of connections, flows and session affinity entries, each. Default: 1000.")
    private int limit = ListCommand.DEFAULT_LIMIT;

    private final DebugBundle bundle = new DebugBundle();
    private int unavailable;

    @Override
    void validate() {
        if (limit < 1) {
            throw usage("--limit: '" + limit + "' is invalid; must be a positive number");
        }
        if (output != null && Files.exists(output)) {
            throw usage("--output: '" + output + "' already exists");
        }
    }

    @Override
    int run(AdminClient client) throws CommandFailedException, InterruptedException {
        Instant now = Instant.now();
        String name = "sluice-debug-" + TIME.format(now);
        Path target = output == null ? Path.of(name + ARCHIVE) : output;
        for (String each : List.of("status", "config", "log-level", "upgrade", "check")) {
            object(client, each);
        }
        for (String each : List.of("services", "endpoints", "events")) {
            list(client, each, Integer.MAX_VALUE);
        }
        for (String each : List.of("connections", "flows", "affinity")) {
            list(client, each, limit);
        }
        if (isRemote()) {
            bundle.failed(
                    "metrics.txt", "the metrics and the kernel of the machine behind --server are not accessible");
        } else {
            bundle.collect("metrics.txt", () -> metrics(client));
            kernel();
        }
        bundle.collect("version.txt", () -> String.join("\n", spec().root().version()) + "\n");
        write(target, name, now);
        return 0;
    }

    private void object(AdminClient client, String path) throws InterruptedException {
        api(path + ".json", () -> formatted(client.get(AdminRequest.of(path)).json()));
    }

    private void list(AdminClient client, String path, int most) throws InterruptedException {
        api(
                path + ".json",
                () -> formatted(array(client.list(AdminRequest.of(path), most).items())));
    }

    /** Collects a response, unless the daemon is unresponsive: each request would take the time of the timeout. */
    private void api(String name, DebugBundle.Source source) throws InterruptedException {
        if (unavailable >= MAX_UNAVAILABLE) {
            bundle.failed(name, "skipped, because Sluice did not respond before");
            return;
        }
        bundle.collect(name, () -> {
            try {
                String content = source.read();
                unavailable = 0;
                return content;
            } catch (CommandFailedException e) {
                unavailable = e.isTemporary() ? unavailable + 1 : 0;
                throw e;
            }
        });
    }

    private String metrics(AdminClient client) throws IOException, CommandFailedException, InterruptedException {
        String address = "127.0.0.1:10249";
        if (unavailable < MAX_UNAVAILABLE) {
            JsonNode configured = client.get(AdminRequest.of("config")).json().path("metricsBindAddress");
            address = configured.asString(address);
        }
        if (address.equals("off")) {
            throw new IOException("metricsBindAddress is off");
        }
        URI url = URI.create("http://" + reachable(address));
        try (UrlTransport transport = new UrlTransport(url)) {
            AdminClient.Response response = transport.send("GET", "/metrics?timings=service");
            if (response.status() != 200) {
                throw new IOException(url + ": HTTP status " + response.status());
            }
            return response.body();
        } catch (IOException e) {
            // The part after the semicolon explains the options for the admin address.
            throw new IOException(url + ": " + String.valueOf(e.getMessage()).split(";")[0], e);
        }
    }

    /** Replaces the unspecified address, on which a server listens, by the loopback address of its family. */
    static String reachable(String address) {
        int colon = address.lastIndexOf(':');
        String host = address.substring(0, colon).replaceAll("[\\[\\]]", "");
        IpAddress ip = IpAddress.parse(host);
        if (ip == null || !ip.isUnspecified()) {
            return address;
        }
        return (ip.family() == Family.IPV4 ? "127.0.0.1" : "[::1]") + address.substring(colon);
    }

    private void kernel() throws InterruptedException {
        bundle.collect("kernel.txt", () -> Files.readString(Path.of("/proc/version")));
        bundle.collect("nft.txt", () -> program("nft", "list", "table", "inet", "sluice"));
        bundle.collect("ip-rule.txt", () -> program("ip", "rule") + program("ip", "-6", "rule"));
        bundle.collect("sockets.txt", () -> program("ss", "-lntu"));
    }

    /** Returns the output of a program. */
    static String program(String... command) throws IOException, InterruptedException {
        // In files, because a pipe that is not read would block the program.
        Path out = Files.createTempFile("sluice-", ".out");
        Path err = Files.createTempFile("sluice-", ".err");
        try {
            Process process = new ProcessBuilder(command)
                    .redirectInput(Path.of("/dev/null").toFile())
                    .redirectOutput(out.toFile())
                    .redirectError(err.toFile())
                    .start();
            Duration limit = AdminClient.TIMEOUT;
            if (!process.waitFor(limit.toMillis(), TimeUnit.MILLISECONDS)) {
                process.destroyForcibly();
                throw new IOException(command[0] + " did not exit within " + limit.toSeconds() + " s");
            }
            if (process.exitValue() != 0) {
                // Further lines of nft repeat the command and point to a part of it.
                String reason = Files.readString(err, StandardCharsets.UTF_8)
                        .lines()
                        .findFirst()
                        .orElse("");
                throw new IOException(String.join(" ", command) + ": "
                        + (reason.isEmpty() ? "exit code " + process.exitValue() : reason));
            }
            return Files.readString(out, StandardCharsets.UTF_8);
        } finally {
            Files.delete(out);
            Files.delete(err);
        }
    }

    private void write(Path target, String name, Instant now) throws CommandFailedException {
        try {
            if (target.toString().endsWith(ARCHIVE)) {
                String file = String.valueOf(target.getFileName());
                String directory = file.substring(0, file.length() - ARCHIVE.length());
                // The archive has the directory, whose name must not be too long for it.
                bundle.writeArchive(target, directory.matches("[\\w.-]{1,60}") ? directory : name, now);
            } else {
                bundle.writeDirectory(target);
            }
        } catch (FileAlreadyExistsException e) {
            throw CommandFailedException.of("cannot write '" + target + "': it already exists");
        } catch (IOException e) {
            throw CommandFailedException.of(
                    "cannot write '" + target + "': " + e.getMessage() + "; set --output to a path that is writable");
        }
        bundle.failures().forEach((file, reason) -> note("not collected: " + file + ": " + reason));
        out().println("wrote " + target + ": " + bundle.size() + " files, "
                + bundle.failures().size() + " not collected");
    }
}
