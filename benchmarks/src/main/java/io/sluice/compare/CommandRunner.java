package io.sluice.compare;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** Runs programs in a temporary directory; {@link #close} kills all that still run. */
public final class CommandRunner implements AutoCloseable {
    private static final int TIMEOUT_SECONDS = 180;

    private final Set<Process> running = ConcurrentHashMap.newKeySet();
    private final Path directory;
    private volatile boolean closed;

    public CommandRunner(Path directory) {
        this.directory = directory;
    }

    /** Runs a command, split at spaces, until it ends, and returns its output. */
    public String run(String line) throws IOException, InterruptedException {
        return run(List.of(line.split(" ")));
    }

    public String run(List<String> command) throws IOException, InterruptedException {
        // A file, not a pipe: a child process that keeps a pipe open would block this method.
        Path output = Files.createTempFile(directory, "run", ".out");
        Process process = start(output, command);
        try {
            if (!process.waitFor(TIMEOUT_SECONDS, TimeUnit.SECONDS)) {
                throw new IOException(String.join(" ", command) + ": still running after " + TIMEOUT_SECONDS + " s");
            }
            String text = Files.readString(output);
            if (process.exitValue() != 0) {
                throw new IOException(String.join(" ", command) + ": exit " + process.exitValue() + "\n" + text);
            }
            return text;
        } finally {
            end(process);
            Files.deleteIfExists(output);
        }
    }

    /** Starts a program in the background with its output in a file. */
    public Process start(Path output, List<String> command) throws IOException {
        ProcessBuilder builder =
                new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(output.toFile());
        builder.environment().put("JAVA_HOME", System.getProperty("java.home"));
        return start(builder);
    }

    public Process start(ProcessBuilder builder) throws IOException {
        Process process = builder.start();
        running.add(process);
        if (closed) {
            end(process);
        }
        return process;
    }

    public boolean isClosed() {
        return closed;
    }

    /** Kills a program and its children. */
    public void end(Process process) {
        List<ProcessHandle> family = Stream.concat(process.descendants(), Stream.of(process.toHandle()))
                .toList();
        family.forEach(ProcessHandle::destroyForcibly);
        family.forEach(each -> each.onExit().join());
        running.remove(process);
    }

    public Path file(String name, String text) throws IOException {
        return Files.writeString(directory.resolve(name), text);
    }

    public Path directory() {
        return directory;
    }

    /** The command line that runs a class on the class path of this process. */
    public static List<String> java(Class<?> main, String... flags) {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(List.of(flags));
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), main.getName()));
        return command;
    }

    @Override
    public void close() {
        closed = true;
        for (Process process : new ArrayList<>(running)) {
            end(process);
        }
    }
}
