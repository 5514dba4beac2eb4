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
 * Runs programs of the system, one after the other, through one shell.
 *
 * <p>To start a program the JDK closes each descriptor that this process has, one by one, and in node mode that is one
 * for every address served: 40 ms at 10,000 of them, where nft needs 3. A shell that was started early has none of them.
 * It ends with this process, however that ends.
 */
final class Shell implements AutoCloseable {
    private static final String END_OF_INPUT = "end-of-input";
    /** The line after what a program wrote; none of ours prints one. */
    private static final String END_OF_OUTPUT = "\u0001";

    private static final class ProgramFailed extends IOException {
        private static final long serialVersionUID = 1L;

        ProgramFailed(String message) {
            super(message);
        }
    }

    private final Duration limit;
    // All guarded by this.
    private @Nullable Process process;
    private @Nullable Writer commands;
    private @Nullable BufferedReader output;

    Shell() {
        // Longer than a whole table takes on a machine that is busy.
        this(Duration.ofSeconds(60));
    }

    /** @param limit how long a program may take */
    Shell(Duration limit) {
        this.limit = limit;
    }

    private void start() throws IOException {
        process = new ProcessBuilder("sh").redirectErrorStream(true).start();
        commands = process.outputWriter(StandardCharsets.UTF_8);
        output = process.inputReader(StandardCharsets.UTF_8);
        // A signal to the whole group means us; the rules are still to be taken away.
        commands.write("trap '' INT TERM\nexec 3>&1\n");
    }

    /**
     * Runs a program to its end.
     *
     * @param input what it reads, of whole lines
     * @param command its name and arguments, of which none is anything special to a shell
     * @return its standard output
     * @throws IOException if there is no such program, or it failed: with the first line of its standard error or, if
     *     there is none, of its output; or if it has not ended in time, and was killed
     */
    synchronized String run(String input, String... command) throws IOException {
        if (process == null || !process.isAlive()) {
            start();
        }
        String line = String.join(" ", command);
        Writer writer = Objects.requireNonNull(commands);
        BufferedReader reader = Objects.requireNonNull(output);
        // A thread of its own: a program that waits in the kernel is not even killed, and its pipe stays open.
        CompletableFuture<String> answer = Supervisor.call("sluice-shell", () -> run(line, input, writer, reader));
        try {
            // An interrupt does not end this, so that no answer is left for the next one.
            return answer.orTimeout(limit.toMillis(), TimeUnit.MILLISECONDS).join();
        } catch (CompletionException e) {
            if (e.getCause() instanceof ProgramFailed) {
                throw new IOException(e.getCause().getMessage(), e.getCause());
            }
            kill();
            String why = e.getCause() instanceof TimeoutException
                    ? "has not ended within " + limit.toMillis() + " ms, and was killed"
                    // Before the process is known to have.
                    : "the shell that ran it has ended";
            throw new IOException(line + ": " + why, e.getCause());
        }
    }

    /**
     * Runs a program that writes JSON.
     *
     * @return what it wrote; a missing node if that is nothing
     * @throws IOException as {@link #run}, or if it is not JSON
     */
    JsonNode json(String... command) throws IOException {
        try {
            return JsonMapper.shared().readTree(run("", command));
        } catch (JacksonException e) {
            throw new IOException(String.join(" ", command) + ": no JSON: " + e.getOriginalMessage(), e);
        }
    }

    /** With what it runs; the next one starts another. */
    private void kill() {
        Process old = Objects.requireNonNull(process);
        List<ProcessHandle> all = new ArrayList<>(List.of(old.toHandle()));
        old.descendants().forEach(all::add);
        all.forEach(ProcessHandle::destroyForcibly);
        process = null;
        commands = null;
    }

    private static String run(String line, String input, Writer writer, BufferedReader reader) throws IOException {
        // A warning must not get into the output, which may be JSON, and no pipe may fill up with what is not read.
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

    /** Without the line break before the end, which is not the program's. */
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

    /** It ends with its input. */
    @Override
    public synchronized void close() throws IOException {
        if (commands != null) {
            commands.close();
        }
    }
}
