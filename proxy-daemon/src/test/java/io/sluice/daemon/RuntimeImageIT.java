package io.sluice.daemon;

import static io.sluice.daemon.Manifests.DEPLOY;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;
import static org.awaitility.Awaitility.await;

import io.sluice.daemon.Manifests.Output;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Builds the Java runtime of the image with the command of the Dockerfile, runs the daemon on it, and diagnoses the
 * daemon with {@code jcmd}. Needs no Docker.
 */
@Tag("one-jdk")
final class RuntimeImageIT {
    private static final Path JDK = Path.of(System.getProperty("java.home"));

    @TempDir
    private Path directory;

    /** Builds the runtime. The Dockerfile writes it to /java. */
    private Path runtime() throws Exception {
        Path jlink = JDK.resolve("bin/jlink");
        assumeThat(jlink).as("jlink is part of the JDK that runs the tests").exists();
        String dockerfile = Files.readString(DEPLOY.resolve("Dockerfile")).replace("\\\n", " ");
        Matcher command = Pattern.compile("^RUN jlink --output /java (.*)$", Pattern.MULTILINE)
                .matcher(dockerfile);
        assertThat(command.find()).isTrue();
        Path runtime = directory.resolve("java");
        Output output = Manifests.run(Stream.concat(
                        Stream.of(jlink.toString(), "--output", runtime.toString()),
                        Stream.of(command.group(1).strip().split("\\s+")))
                .toList());
        assertThat(output.code()).as(output.text()).isZero();
        return runtime;
    }

    private static String jcmd(Path runtime, SluiceProcess daemon, String... arguments) throws Exception {
        Output output = Manifests.run(Stream.concat(
                        Stream.of(runtime.resolve("bin/jcmd").toString(), String.valueOf(daemon.pid())),
                        Stream.of(arguments))
                .toList());
        assertThat(output.code()).as(output.text()).isZero();
        return output.text();
    }

    @Test
    void jcmdAndFlightRecorderWorkInTheRuntimeOfTheImage() throws Exception {
        Path runtime = runtime();
        Path feed = Files.writeString(directory.resolve("feed.yaml"), """
                apiVersion: v1
                kind: Service
                metadata: {name: web, namespace: shop}
                spec: {clusterIP: 127.96.0.77, ports: [{port: 8080}]}
                """);
        Path recording = directory.resolve("sluice.jfr");
        String[] run = {"run", "--feed=" + feed, "--healthz-bind-address=off", "--metrics-bind-address=off"};
        Map<String, String> environment = Map.of("JAVA_HOME", runtime.toString());
        try (SluiceProcess daemon =
                SluiceProcess.start(directory, SluiceProcess.HOME.resolve("bin/sluice"), environment, run)) {
            await().atMost(Duration.ofSeconds(60)).until(() -> daemon.err().contains("synced:") || !daemon.isAlive());
            assertThat(daemon.isAlive()).as(daemon.out() + daemon.err()).isTrue();
            assertThat(jcmd(runtime, daemon, "Thread.print", "-l")).contains("Full thread dump", "io.sluice.");
            assertThat(jcmd(runtime, daemon, "GC.class_histogram")).contains("io.sluice.");
            jcmd(runtime, daemon, "JFR.start", "name=sluice", "settings=profile", "maxsize=50M");
            jcmd(runtime, daemon, "JFR.stop", "name=sluice", "filename=" + recording);
            daemon.signal("TERM");
            assertThat(daemon.exitCode()).as(daemon.err()).isZero();
        }
        Output summary = Manifests.run(List.of(runtime.resolve("bin/jfr").toString(), "summary", recording.toString()));
        assertThat(summary.text()).contains("jdk.JVMInformation");
    }
}
