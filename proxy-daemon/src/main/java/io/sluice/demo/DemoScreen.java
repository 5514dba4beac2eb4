package io.sluice.demo;

import java.io.PrintStream;
import java.util.List;

/** Output of the demo: headings, indented text, tables and the result of each check, optionally in color. */
public final class DemoScreen {
    private static final String NO_WRAP = "\033[?7l";
    private static final String WRAP = "\033[?7h";

    private final PrintStream out;
    private final boolean colors;
    private int step;
    private int failures;

    /** Creates a screen that prints to a stream, with colors and a live status line if {@code colors} is set. */
    public DemoScreen(PrintStream out, boolean colors) {
        this.out = out;
        this.colors = colors;
    }

    void title(String text) {
        line("");
        line(styled("1", text));
    }

    void heading(String text) {
        line("");
        line(styled("1;36", ++step + ". " + text));
    }

    void text(String text) {
        line("   " + text);
    }

    void faint(String text) {
        line("   " + styled("2", text));
    }

    void table(List<String> lines) {
        faint(lines.get(0));
        lines.subList(1, lines.size()).forEach(this::text);
    }

    /** Prints the result of a check. */
    void check(boolean passed, String text) {
        if (!passed) {
            failures++;
        }
        line("   " + (passed ? styled("32", "ok    ") : styled("1;31", "FAILED")) + "  " + text);
    }

    /** Prints a status line; in a terminal, it overwrites the previous status line. */
    void status(String text) {
        if (colors) {
            // Line wrap is off, because the next status would overwrite only the last row of a wrapped line.
            print("\r\033[K" + NO_WRAP + "   " + text + WRAP);
        } else {
            text(text);
        }
    }

    /** Ends a {@link #status} line. */
    void endStatus() {
        if (colors) {
            line("");
        }
    }

    boolean terminal() {
        return colors;
    }

    int failures() {
        return failures;
    }

    private void line(String text) {
        print(text + "\n");
    }

    /** Prints text. A {@link PrintStream} does not throw exceptions, so its error state must be checked. */
    private void print(String text) {
        out.print(text);
        if (out.checkError()) {
            throw new OutputClosed();
        }
    }

    private String styled(String code, String text) {
        return colors ? "\033[" + code + "m" + text + "\033[0m" : text;
    }

    /** Thrown when output can no longer be written because its reader has exited, as {@code head} does. */
    static final class OutputClosed extends RuntimeException {
        private static final long serialVersionUID = 1;
    }
}
