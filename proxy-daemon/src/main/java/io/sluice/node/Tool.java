package io.sluice.node;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Runs a program of the system to its end. */
final class Tool {
    private static final Logger log = LoggerFactory.getLogger(Tool.class);
    private static final int SECONDS = 60;

    private Tool() {}

    /**
     * Runs it.
     *
     * @return what it wrote
     * @throws IOException if there is no such program, or it failed: with the first line it said about that
     */
    static String run(String input, String... command) throws IOException {
        Process process =
                new ProcessBuilder(List.of(command)).redirectErrorStream(true).start();
        try (OutputStream in = process.getOutputStream()) {
            in.write(input.getBytes(StandardCharsets.UTF_8));
        } catch (IOException e) {
            log.debug("{} ended before it had read everything; why, it says itself", command[0], e);
        }
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        try {
            if (!process.waitFor(SECONDS, TimeUnit.SECONDS)) {
                process.destroyForcibly();
                throw new IOException(command[0] + " did not end within " + SECONDS + " s");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", e);
        }
        if (process.exitValue() != 0) {
            String first = output.lines().findFirst().orElse("exit code " + process.exitValue());
            throw new IOException(String.join(" ", command) + ": " + first);
        }
        return output;
    }
}
