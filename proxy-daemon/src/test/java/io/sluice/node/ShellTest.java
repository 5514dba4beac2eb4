package io.sluice.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.time.Duration;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class ShellTest {
    private final Shell shell = new Shell();

    @AfterEach
    void close() throws IOException {
        shell.close();
    }

    @Test
    void passesLargeInputAndOutputCompletely() throws IOException {
        // More than a pipe holds, in both directions.
        String lines = IntStream.range(0, 50_000)
                .mapToObj(i -> "line $i `x` " + i + "\n")
                .collect(Collectors.joining());
        assertThat(shell.run(lines, "cat")).isEqualTo(lines);
        assertThat(shell.run("", "printf", "no-line-break")).isEqualTo("no-line-break");
        assertThat(shell.run("", "true")).isEmpty();
    }

    @Test
    void reportsWhyAProgramFailedAndRunsTheNext() throws IOException {
        assertThatThrownBy(() -> shell.run("", "ls", "/no-such-directory"))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("ls /no-such-directory: ls: ")
                .hasMessageContaining("No such file");
        assertThatThrownBy(() -> shell.run("", "false")).hasMessage("false: exit code 1");
        assertThatThrownBy(() -> shell.run("", "no-such-program")).hasMessageContaining("not found");
        assertThat(shell.run("", "echo", "next")).isEqualTo("next\n");
    }

    @Test
    void separatesWarningsFromOutput() throws IOException {
        assertThat(shell.run("echo warning >&2; echo [1]; echo warning >&2\n", "sh"))
                .isEqualTo("[1]\n");
        assertThat(shell.json("echo", "[1]").path(0).asInt()).isEqualTo(1);
        assertThat(shell.json("true").isMissingNode()).isTrue();
        assertThatThrownBy(() -> shell.json("echo", "text"))
                .isInstanceOf(IOException.class)
                .hasMessageStartingWith("echo text: invalid JSON: ");
    }

    /** The error output is longer than a pipe holds. */
    @Test
    void readsLongErrorOutput() throws IOException {
        String lines = "echo long line of an error >&2\n".repeat(20_000);
        assertThatThrownBy(() -> shell.run("echo output\n" + lines + "exit 1\n", "sh"))
                .hasMessage("sh: long line of an error");
        assertThat(shell.run("", "echo", "next")).isEqualTo("next\n");
    }

    @Test
    void restartsAShellThatHasEnded() throws IOException {
        assertThatThrownBy(() -> shell.run("", "kill", "-9", "$$")).hasMessageContaining("the shell has ended");
        assertThat(shell.run("", "echo", "again")).isEqualTo("again\n");
    }

    @Test
    void killsAProgramThatHangsAndRunsTheNext() throws IOException {
        try (Shell impatient = new Shell(Duration.ofMillis(300))) {
            assertThatThrownBy(() -> impatient.run("", "sleep", "4711"))
                    .isInstanceOf(IOException.class)
                    .hasMessage("sleep 4711: killed because it did not end within 300 ms");
            assertThat(impatient.run("", "echo", "next")).isEqualTo("next\n");
            await().untilAsserted(() -> assertThat(ProcessHandle.current().descendants())
                    .noneMatch(
                            process -> process.info().commandLine().orElse("").contains("sleep 4711")));
        }
    }

    @Test
    void killsAProgramThatDoesNotReadItsInput() throws IOException {
        // More than all buffers hold, so that writing blocks.
        String lines = "line\n".repeat(200_000);
        try (Shell impatient = new Shell(Duration.ofMillis(300))) {
            assertThatThrownBy(() -> impatient.run(lines, "sleep", "4712"))
                    .hasMessageContaining("sleep 4712: killed because it did not end");
            assertThat(impatient.run(lines, "cat")).isEqualTo(lines);
        }
    }

    @Test
    void keepsOutputsApartDespiteAnInterrupt() throws IOException {
        Thread.currentThread().interrupt();
        assertThat(shell.run("", "echo", "one")).isEqualTo("one\n");
        assertThat(Thread.interrupted()).isTrue();
        assertThat(shell.run("", "echo", "two")).isEqualTo("two\n");
    }
}
