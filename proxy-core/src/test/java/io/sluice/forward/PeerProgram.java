package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assumptions.abort;

import io.sluice.model.FrontendAddress;
import java.io.Closeable;
import java.io.IOException;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** A program of another project. */
final class PeerProgram implements Closeable {
    private static final Duration TIMEOUT = Duration.ofSeconds(20);
    /** Directories that may not be in the path. */
    private static final List<String> DIRECTORIES = List.of("/usr/sbin", "/usr/local/sbin", "/usr/local/go/bin");

    private final Process process;

    private PeerProgram(Process process) {
        this.process = process;
    }

    /** Returns the path of an installed program. Skips the test if there is none of this name. */
    static Path find(String name) {
        List<String> directories = new ArrayList<>(List.of(System.getenv("PATH").split(":")));
        directories.addAll(DIRECTORIES);
        return directories.stream()
                .map(directory -> Path.of(directory, name))
                .filter(Files::isExecutable)
                .findFirst()
                .orElseGet(() -> abort("needs " + name));
    }

    /** Starts a program in a directory and waits until it listens. */
    static PeerProgram start(Path directory, FrontendAddress listening, List<String> command) throws IOException {
        Path output = Files.createTempFile(directory, "output", ".txt");
        Process process = new ProcessBuilder(command)
                .directory(directory.toFile())
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
        PeerProgram program = new PeerProgram(process);
        try {
            await().atMost(TIMEOUT).pollInterval(Duration.ofMillis(20)).until(() -> {
                if (!process.isAlive()) {
                    throw new AssertionError(command + " has ended: " + Files.readString(output));
                }
                return isListening(listening);
            });
        } catch (RuntimeException | Error e) {
            program.close();
            throw e;
        }
        return program;
    }

    private static boolean isListening(FrontendAddress address) {
        try (Socket socket = new Socket(address.address().toInetAddress(), address.port())) {
            return socket.isConnected();
        } catch (IOException e) {
            return false;
        }
    }

    /** Runs a program to its end and returns its output. */
    static String run(Path directory, Map<String, String> environment, List<String> command) throws IOException {
        StringBuilder output = new StringBuilder();
        assertThat(exitValue(directory, environment, command, output))
                .as(() -> command + ": " + output)
                .isZero();
        return output.toString();
    }

    /** Runs a program to its end and returns whether it was successful. */
    static boolean succeeds(Path directory, Map<String, String> environment, List<String> command) throws IOException {
        return exitValue(directory, environment, command, new StringBuilder()) == 0;
    }

    private static int exitValue(
            Path directory, Map<String, String> environment, List<String> command, StringBuilder output)
            throws IOException {
        ProcessBuilder builder =
                new ProcessBuilder(command).directory(directory.toFile()).redirectErrorStream(true);
        builder.environment().putAll(environment);
        try (PeerProgram program = new PeerProgram(builder.start())) {
            output.append(new String(program.process.getInputStream().readAllBytes(), StandardCharsets.UTF_8));
            return program.process.waitFor();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException(e);
        }
    }

    @Override
    public void close() {
        process.destroyForcibly();
        try {
            process.waitFor(TIMEOUT.toSeconds(), TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
