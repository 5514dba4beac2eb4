package io.sluice.demo;

import java.io.PrintStream;
import java.util.List;

/** How the demo looks: headings, indented text, and a verdict for each claim. Colours only where they are wanted. */
public final class DemoScreen {
    private static final String NO_WRAP = "\033[?7l";
    private static final String WRAP = "\033[?7h";

    private final PrintStream out;
    private final boolean colours;
    private int step;
    private int failures;

    public DemoScreen(PrintStream out, boolean colours) {
        this.out = out;
        this.colours = colours;
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

    /** Says something and whether it is so. */
    void claim(boolean holds, String text) {
        if (!holds) {
            failures++;
        }
        line("   " + (holds ? styled("32", "ok    ") : styled("1;31", "FAILED")) + "  " + text);
    }

    /** Writes over the last line if that was written with this too; only in a terminal. */
    void status(String text) {
        if (colours) {
            // Without line wrap: of a line that went on below, the next one would write over the end only.
            print("\r\033[K" + NO_WRAP + "   " + text + WRAP);
        } else {
            text(text);
        }
    }

    /** Ends a {@link #status} line. */
    void endStatus() {
        if (colours) {
            line("");
        }
    }

    boolean terminal() {
        return colours;
    }

    int failures() {
        return failures;
    }

    private void line(String text) {
        print(text + "\n");
    }

    /** A stream that prints keeps its errors to itself until it is asked. */
    private void print(String text) {
        out.print(text);
        if (out.checkError()) {
            throw new OutputClosed();
        }
    }

    private String styled(String code, String text) {
        return colours ? "\033[" + code + "m" + text + "\033[0m" : text;
    }

    /** What is shown cannot be written any more: whoever read it has gone, as {@code head} does. */
    static final class OutputClosed extends RuntimeException {
        private static final long serialVersionUID = 1;
    }
}
