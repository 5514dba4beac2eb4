package io.sluice.node;

import io.sluice.thread.Supervisor;
import java.io.BufferedReader;
import java.io.EOFException;
import java.io.IOException;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * Runs programs, one at a time, through a single shell process.
 *
 * <p>When the JDK starts a program, the child process closes every descriptor that it inherits. Node mode uses a
 * descriptor for each frontend: closing 10,000 of them takes 40 ms, while nft itself takes 3 ms. A shell that is
 * started early inherits none of them. The shell exits when the Sluice process ends, even if Sluice is killed.
 */
final class Shell implements AutoCloseable {
    private static final String END_OF_INPUT = "end-of-input";
    /** Line that marks the end of a program's output. The programs that Sluice runs do not print such a line. */
    private static final String END_OF_OUTPUT = "\u0001";

    private static final class ProgramFailed extends IOException {
        private static final long serialVersionUID = 1L;

        ProgramFailed(String message) {
            super(message);
        }
    }

    private final Duration limit;
    // The following fields are guarded by this.
    private @Nullable Process process;
    private @Nullable Writer commands;
    private @Nullable BufferedReader output;

    Shell() {
        // Loading a whole table takes less time, even on a busy machine.
        this(Duration.ofSeconds(60));
    }

    /** @param limit the time limit for each program */
    Shell(Duration limit) {
        this.limit = limit;
    }

    private void start() throws IOException {
        process = new ProcessBuilder("sh").redirectErrorStream(true).start();
        commands = process.outputWriter(StandardCharsets.UTF_8);
        output = process.inputReader(StandardCharsets.UTF_8);
        // The shell ignores signals to the process group, because it is still needed to remove the rules.
        commands.write("trap '' INT TERM\nexec 3>&1\n");
    }

    /**
     * Runs a program and waits for it to exit.
     *
     * @param input standard input of the program, in complete lines
     * @param command name and arguments of the program, without characters that are special to a shell
     * @return standard output of the program
     * @throws IOException if the program does not exist, fails, or exceeds the time limit and is killed; after a
     *     failure, the message contains the first line of its standard error, or of its output if that is empty
     */
    synchronized String run(String input, String... command) throws IOException {
        if (process == null || !process.isAlive()) {
            start();
        }
        String line = String.join(" ", command);
        Writer writer = Objects.requireNonNull(commands);
        BufferedReader reader = Objects.requireNonNull(output);
        // Uses a separate thread: a program that is blocked in the kernel cannot be killed, and its pipe stays open.
        CompletableFuture<String> answer = Supervisor.call("sluice-shell", () -> run(line, input, writer, reader));
        try {
            // join() ignores interrupts, so that no output is left for the next program.
            return answer.orTimeout(limit.toMillis(), TimeUnit.MILLISECONDS).join();
        } catch (CompletionException e) {
            if (e.getCause() instanceof ProgramFailed) {
                throw new IOException(e.getCause().getMessage(), e.getCause());
            }
            kill();
            String why = e.getCause() instanceof TimeoutException
                    ? "killed because it did not end within " + limit.toMillis() + " ms"
                    // At this moment, Process.isAlive() may still return true.
                    : "the shell has ended";
            throw new IOException(line + ": " + why, e.getCause());
        }
    }

    /**
     * Runs a program that prints JSON.
     *
     * @return the parsed output; a missing node if the output is empty
     * @throws IOException as for {@link #run}, or if the output is not JSON
     */
    JsonNode json(String... command) throws IOException {
        try {
            return JsonMapper.shared().readTree(run("", command));
        } catch (JacksonException e) {
            throw new IOException(String.join(" ", command) + ": invalid JSON: " + e.getOriginalMessage(), e);
        }
    }

    /** Kills the shell and the program that it runs. The next call of {@link #run} starts a new shell. */
    private void kill() {
        Process old = Objects.requireNonNull(process);
        List<ProcessHandle> all = new ArrayList<>(List.of(old.toHandle()));
        old.descendants().forEach(all::add);
        all.forEach(ProcessHandle::destroyForcibly);
        process = null;
        commands = null;
    }

    private static String run(String line, String input, Writer writer, BufferedReader reader) throws IOException {
        // Warnings must not be mixed into the output, which may be JSON, and unread output must not fill a pipe.
        writer.write("errors=$({ " + line + " 2>&1 >&3 3>&-; } <<'" + END_OF_INPUT + "'\n" + input + END_OF_INPUT
                + "\n)\nprintf '\\n\\001\\n%s\\n%s\\n\\001\\n' $? \"$errors\"\n");
        writer.flush();
        String output = readToEnd(reader);
        String code = String.valueOf(reader.readLine());
        String errors = readToEnd(reader);
        if (!code.equals("0")) {
            String why =
                    (errors.isEmpty() ? output : errors).lines().findFirst().orElse("");
            throw new ProgramFailed(line + ": " + (why.isEmpty() ? "exit code " + code : why));
        }
        return output;
    }

    /** Reads output up to the end marker, without the line break before it. */
    private static String readToEnd(BufferedReader reader) throws IOException {
        StringBuilder lines = new StringBuilder();
        for (String line = reader.readLine(); !END_OF_OUTPUT.equals(line); line = reader.readLine()) {
            if (line == null) {
                throw new EOFException();
            }
            lines.append(line).append('\n');
        }
        return lines.substring(0, Math.max(0, lines.length() - 1));
    }

    /** Closes the standard input of the shell, which ends it. */
    @Override
    public synchronized void close() throws IOException {
        if (commands != null) {
            commands.close();
        }
    }
}
