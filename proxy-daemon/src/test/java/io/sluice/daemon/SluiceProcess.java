package io.sluice.daemon;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** A process started from the distribution through its launcher. */
final class SluiceProcess implements AutoCloseable {
    static final Path HOME =
            Path.of(System.getProperty("sluice.home", "target/sluice")).toAbsolutePath();

    /**
     * Resets these signals to their default: under nohup or in the background of a script they are ignored, which the
     * JVM would inherit.
     */
    private static final List<String> DEFAULT_SIGNALS = defaultSignals();

    private final Process process;
    private final Path out;
    private final Path err;

    private SluiceProcess(Process process, Path out, Path err) {
        this.process = process;
        this.out = out;
        this.err = err;
    }

    /** Returns the command prefix, or an empty list if {@code env} does not support the option. */
    private static List<String> defaultSignals() {
        List<String> prefix = List.of("env", "--default-signal=HUP,INT");
        List<String> trial = new ArrayList<>(prefix);
        trial.add("true");
        try {
            int code = new ProcessBuilder(trial)
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start()
                    .waitFor();
            return code == 0 ? prefix : List.of();
        } catch (IOException e) {
            return List.of();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return List.of();
        }
    }

    static SluiceProcess start(Path directory, String... args) throws IOException {
        return start(directory, HOME.resolve("bin/sluice"), Map.of(), args);
    }

    /**
     * @param directory the working directory, which also receives the output files
     * @param environment additional environment variables; an empty value removes the variable
     */
    static SluiceProcess start(Path directory, Path launcher, Map<String, String> environment, String... args)
            throws IOException {
        List<String> command = new ArrayList<>(DEFAULT_SIGNALS);
        command.add(launcher.toString());
        command.addAll(List.of(args));
        Path out = Files.createTempFile(directory, "out", ".txt");
        Path err = Files.createTempFile(directory, "err", ".txt");
        ProcessBuilder builder = new ProcessBuilder(command)
                .directory(directory.toFile())
                .redirectOutput(out.toFile())
                .redirectError(err.toFile());
        builder.environment().put("JAVA_HOME", System.getProperty("java.home"));
        // Off unless a test sets a flag: several processes of the tests share the machine and the directory /run.
        builder.environment().put("SLUICE_ADMIN_BIND_ADDRESS", "off");
        builder.environment().put("SLUICE_ADMIN_SOCKET", "off");
        environment.forEach((name, value) -> {
            if (value.isEmpty()) {
                builder.environment().remove(name);
            } else {
                builder.environment().put(name, value);
            }
        });
        return new SluiceProcess(builder.start(), out, err);
    }

    /** Waits until the process ends and returns its exit code. */
    int exitCode() throws InterruptedException {
        if (!process.waitFor(60, TimeUnit.SECONDS)) {
            throw new AssertionError("still running after 60 s\n" + out() + err());
        }
        return process.exitValue();
    }

    void signal(String name) throws IOException, InterruptedException {
        int code = new ProcessBuilder("kill", "-" + name, String.valueOf(process.pid()))
                .inheritIO()
                .start()
                .waitFor();
        if (code != 0) {
            throw new AssertionError("kill -" + name + " failed with " + code);
        }
    }

    long pid() {
        return process.pid();
    }

    boolean isAlive() {
        return process.isAlive();
    }

    String out() {
        return read(out);
    }

    String err() {
        return read(err);
    }

    private static String read(Path file) {
        try {
            return Files.readString(file, StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public void close() {
        process.destroyForcibly();
    }
}
