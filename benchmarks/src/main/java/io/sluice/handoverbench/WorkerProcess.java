package io.sluice.handoverbench;

import io.sluice.compare.CommandRunner;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.List;
import tools.jackson.databind.json.JsonMapper;

/** The client or the endpoint process, as seen by the benchmark: sends commands and parses the results. */
final class WorkerProcess implements AutoCloseable {
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final BufferedReader results;
    private final PrintWriter commands;
    private final String name;

    /** Starts a process; its log is in the directory of the runner. */
    WorkerProcess(CommandRunner runner, String name, List<String> command) throws IOException {
        this.name = name;
        Process process = runner.start(new ProcessBuilder(command)
                .redirectError(runner.directory().resolve(name + ".log").toFile()));
        results = process.inputReader(StandardCharsets.UTF_8);
        commands = new PrintWriter(process.outputWriter(StandardCharsets.UTF_8), true);
    }

    <T> T execute(String command, Class<T> type) throws IOException {
        commands.println(command);
        String line = results.readLine();
        if (line == null) {
            throw new IOException(name + " process ended while it executed '" + command + "'");
        }
        if (line.startsWith("{\"error\"")) {
            throw new IOException(name + " process: "
                    + JSON.readValue(line, Worker.Failure.class).error());
        }
        return JSON.readValue(line, type);
    }

    void execute(String command) throws IOException {
        execute(command, Worker.Done.class);
    }

    @Override
    public void close() throws IOException {
        commands.close();
        results.close();
    }
}
