package io.sluice.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Programs run one after the other by one shell. */
final class ShellTest {
    private final Shell shell = new Shell();

    @AfterEach
    void close() throws IOException {
        shell.close();
    }

    @Test
    void aProgramReadsItsInputAndWhatItWritesComesBackWhole() throws IOException {
        // More than a pipe holds, both ways.
        String lines = IntStream.range(0, 50_000)
                .mapToObj(i -> "line $i `x` " + i + "\n")
                .collect(Collectors.joining());
        assertThat(shell.run(lines, "cat")).isEqualTo(lines);
        assertThat(shell.run("", "printf", "no-line-break")).isEqualTo("no-line-break");
        assertThat(shell.run("", "true")).isEmpty();
    }

    @Test
    void oneThatFailsSaysWhyAndTheNextOneRuns() throws IOException {
        assertThatThrownBy(() -> shell.run("", "ls", "/no-such-folder"))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("ls /no-such-folder: ls: ")
                .hasMessageContaining("No such file");
        assertThatThrownBy(() -> shell.run("", "false")).hasMessage("false: exit code 1");
        assertThatThrownBy(() -> shell.run("", "no-such-program")).hasMessageContaining("not found");
        assertThat(shell.run("", "echo", "next")).isEqualTo("next\n");
    }

    @Test
    void aShellThatEndedIsStartedAgain() throws IOException {
        assertThatThrownBy(() -> shell.run("", "exit", "3")).hasMessageContaining("the shell that ran it has ended");
        assertThat(shell.run("", "echo", "again")).isEqualTo("again\n");
    }
}
