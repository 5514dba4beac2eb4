package io.sluice.daemon;

import java.io.PrintWriter;
import java.util.List;

/** How the demo looks: headings, indented text, and a verdict for each claim. Colours only where they are wanted. */
final class DemoScreen {
    private final PrintWriter out;
    private final boolean colours;
    private int step;
    private int failures;

    DemoScreen(PrintWriter out, boolean colours) {
        this.out = out;
        this.colours = colours;
    }

    void title(String text) {
        out.println();
        line(styled("1", text));
    }

    void heading(String text) {
        out.println();
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
            out.print("\r\033[K   " + text);
            out.flush();
        } else {
            text(text);
        }
    }

    /** Ends a {@link #status} line. */
    void endStatus() {
        if (colours) {
            out.println();
            out.flush();
        }
    }

    boolean terminal() {
        return colours;
    }

    int failures() {
        return failures;
    }

    private void line(String text) {
        out.println(text);
        out.flush();
    }

    private String styled(String code, String text) {
        return colours ? "\033[" + code + "m" + text + "\033[0m" : text;
    }
}
