package io.sluice.cli;

import java.io.InputStream;
import java.util.Map;
import java.util.Objects;
import picocli.CommandLine;
import picocli.CommandLine.Model.CommandSpec;

/** The environment of a command: environment variables, standard input and the terminal. Tests replace it. */
record Invocation(Map<String, String> environment, InputStream standardInput, Terminal terminal) {
    private static final String KEY = "invocation";

    /** Makes this invocation available to all commands of a command line. */
    void attachTo(CommandLine line) {
        line.getCommandSpec().addMixin(KEY, CommandSpec.wrapWithoutInspection(this));
    }

    /** The invocation of a command. */
    static Invocation of(CommandSpec spec) {
        return (Invocation)
                Objects.requireNonNull(spec.root().mixins().get(KEY)).userObject();
    }

    /** The width for tables: {@code $COLUMNS}, the width of the terminal, or 80. */
    int columns() {
        return size("COLUMNS", terminal.columns());
    }

    /** Whether {@link #columns} is known rather than assumed. */
    boolean knowsColumns() {
        return terminal.output() || environment.containsKey("COLUMNS");
    }

    /** The height for tables that are refreshed: {@code $LINES}, the height of the terminal, or 24. */
    int rows() {
        return size("LINES", terminal.rows());
    }

    private int size(String variable, int otherwise) {
        String text = environment.getOrDefault(variable, "");
        return text.matches("[1-9][0-9]{0,4}") ? Integer.parseInt(text) : otherwise;
    }
}
