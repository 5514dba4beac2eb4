package io.sluice.cli;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * The terminal of this process: its size, and single keys. Uses {@code stty}, because the JDK has no API for this.
 *
 * @param output whether standard output is a terminal
 * @param input whether standard input is a terminal
 */
record Terminal(boolean output, boolean input) {
    /** For commands whose input and output are files or pipes. */
    static final Terminal NONE = new Terminal(false, false);

    private static final int DEFAULT_COLUMNS = 80;
    private static final int DEFAULT_ROWS = 24;
    private static final int STTY_TIMEOUT_SECONDS = 2;

    static Terminal ofThisProcess() {
        return new Terminal(isTerminal(1), isTerminal(0));
    }

    private static boolean isTerminal(int descriptor) {
        try {
            String target = Files.readSymbolicLink(Path.of("/proc/self/fd/" + descriptor))
                    .toString();
            return target.startsWith("/dev/pts/") || target.startsWith("/dev/tty") || target.equals("/dev/console");
        } catch (IOException e) {
            // The descriptor is closed, or /proc is not mounted.
            return false;
        }
    }

    int columns() {
        return size(1, DEFAULT_COLUMNS);
    }

    int rows() {
        return size(0, DEFAULT_ROWS);
    }

    private int size(int index, int otherwise) {
        if (!output) {
            return otherwise;
        }
        String[] size = stty("size").split(" ");
        boolean valid = size.length == 2 && size[index].matches("[1-9][0-9]{0,4}");
        return valid ? Integer.parseInt(size[index]) : otherwise;
    }

    /**
     * Makes keys available without Enter and does not echo them. Ctrl-C is then read as a key, so that the command can
     * restore the terminal before it exits.
     *
     * @return restores the terminal
     */
    Runnable readKeys() {
        String before = stty("-g");
        stty("-icanon", "-echo", "-isig", "min", "0");
        return () -> {
            if (!before.isEmpty()) {
                stty(before);
            }
        };
    }

    /** Returns the output of stty; empty if it fails, for example because it is not installed. */
    private static String stty(String... arguments) {
        List<String> command = new ArrayList<>(List.of("stty"));
        command.addAll(List.of(arguments));
        try {
            Process process = new ProcessBuilder(command)
                    .redirectInput(new File("/dev/tty"))
                    .redirectError(ProcessBuilder.Redirect.DISCARD)
                    .start();
            if (!process.waitFor(STTY_TIMEOUT_SECONDS, TimeUnit.SECONDS)) {
                process.destroyForcibly();
                return "";
            }
            return new String(process.getInputStream().readNBytes(1000), StandardCharsets.UTF_8).strip();
        } catch (IOException e) {
            return "";
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return "";
        }
    }
}
