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

/** Runs programs and forgets none: whatever was started here is ended by {@link #close}. */
final class Shell implements AutoCloseable {
    private static final int PATIENCE_SECONDS = 180;

    private final Set<Process> running = ConcurrentHashMap.newKeySet();
    private final Path folder;
    private volatile boolean closed;

    Shell(Path folder) {
        this.folder = folder;
    }

    /** Runs a line of words without blanks in them to its end; what it printed. */
    String run(String line) throws IOException, InterruptedException {
        return run(List.of(line.split(" ")));
    }

    String run(List<String> command) throws IOException, InterruptedException {
        // A file, not a pipe: a child of the program that holds the pipe open would keep us here.
        Path output = Files.createTempFile(folder, "run", ".out");
        Process process = start(output, command);
        try {
            if (!process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                throw new IOException(String.join(" ", command) + ": still running after " + PATIENCE_SECONDS + " s");
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

    /** Starts a program that goes on; what it prints goes to the file. */
    Process start(Path output, List<String> command) throws IOException {
        ProcessBuilder builder =
                new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(output.toFile());
        builder.environment().put("JAVA_HOME", System.getProperty("java.home"));
        return start(builder);
    }

    Process start(ProcessBuilder builder) throws IOException {
        Process process = builder.start();
        running.add(process);
        if (closed) {
            end(process);
        }
        return process;
    }

    boolean isClosed() {
        return closed;
    }

    /** Kills a program and its children. */
    void end(Process process) {
        List<ProcessHandle> family = Stream.concat(process.descendants(), Stream.of(process.toHandle()))
                .toList();
        family.forEach(ProcessHandle::destroyForcibly);
        family.forEach(each -> each.onExit().join());
        running.remove(process);
    }

    Path file(String name, String text) throws IOException {
        return Files.writeString(folder.resolve(name), text);
    }

    Path folder() {
        return folder;
    }

    /** Java on our own class path. */
    static List<String> java(Class<?> main, String... flags) {
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
