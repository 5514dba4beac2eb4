package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;

/** Runs part of a test in a process with its own network namespace. */
final class Namespace {
    private Namespace() {}

    /**
     * Skips the test unless run as root. Fails it if a command fails or the main method throws.
     *
     * @param commands shell commands to run first, after loopback is up
     * @param main a class whose main method throws on failure and otherwise exits with 0
     */
    static void run(String commands, Class<?> main) throws IOException, InterruptedException {
        assumeThat(Files.getAttribute(Path.of("/proc/self"), "unix:uid"))
                .as("needs root, for a network namespace")
                .isEqualTo(0);
        Path out = Files.createTempFile("namespace", ".txt");
        Process inside = new ProcessBuilder(
                        "unshare",
                        "--net",
                        "sh",
                        "-ec",
                        "ip link set lo up\n" + commands + "\nexec \"$0\" \"$@\"",
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-ea",
                        "-cp",
                        System.getProperty("java.class.path"),
                        main.getName())
                .redirectErrorStream(true)
                .redirectOutput(out.toFile())
                .start();
        try {
            assertThat(inside.waitFor(60, TimeUnit.SECONDS)).isTrue();
            assertThat(inside.exitValue()).as(Files.readString(out)).isZero();
        } finally {
            inside.destroyForcibly();
            Files.delete(out);
        }
    }
}
