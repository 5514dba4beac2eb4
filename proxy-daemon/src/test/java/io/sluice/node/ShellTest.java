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
    void aWarningDoesNotGetIntoTheOutput() throws IOException {
        assertThat(shell.run("echo warning >&2; echo [1]; echo warning >&2\n", "sh"))
                .isEqualTo("[1]\n");
        assertThat(shell.json("echo", "[1]").path(0).asInt()).isEqualTo(1);
        assertThat(shell.json("true").isMissingNode()).isTrue();
        assertThatThrownBy(() -> shell.json("echo", "text"))
                .isInstanceOf(IOException.class)
                .hasMessageStartingWith("echo text: no JSON: ");
    }

    /** More than a pipe holds. */
    @Test
    void aProgramMayFailAtLength() throws IOException {
        String lines = "echo long line of an error >&2\n".repeat(20_000);
        assertThatThrownBy(() -> shell.run("echo output\n" + lines + "exit 1\n", "sh"))
                .hasMessage("sh: long line of an error");
        assertThat(shell.run("", "echo", "next")).isEqualTo("next\n");
    }

    @Test
    void aShellThatEndedIsStartedAgain() throws IOException {
        assertThatThrownBy(() -> shell.run("", "kill", "-9", "$$"))
                .hasMessageContaining("the shell that ran it has ended");
        assertThat(shell.run("", "echo", "again")).isEqualTo("again\n");
    }

    @Test
    void aProgramThatHangsIsKilledAndTheNextOneRuns() throws IOException {
        try (Shell impatient = new Shell(Duration.ofMillis(300))) {
            assertThatThrownBy(() -> impatient.run("", "sleep", "4711"))
                    .isInstanceOf(IOException.class)
                    .hasMessage("sleep 4711: has not ended within 300 ms, and was killed");
            assertThat(impatient.run("", "echo", "next")).isEqualTo("next\n");
            await().untilAsserted(() -> assertThat(ProcessHandle.current().descendants())
                    .noneMatch(
                            process -> process.info().commandLine().orElse("").contains("sleep 4711")));
        }
    }

    @Test
    void oneThatReadsNothingIsKilledToo() throws IOException {
        // More than pipes and what is in between hold, so that writing hangs as well.
        String lines = "line\n".repeat(200_000);
        try (Shell impatient = new Shell(Duration.ofMillis(300))) {
            assertThatThrownBy(() -> impatient.run(lines, "sleep", "4712"))
                    .hasMessageContaining("sleep 4712: has not ended");
            assertThat(impatient.run(lines, "cat")).isEqualTo(lines);
        }
    }

    @Test
    void anInterruptDoesNotMixUpAnswers() throws IOException {
        Thread.currentThread().interrupt();
        assertThat(shell.run("", "echo", "one")).isEqualTo("one\n");
        assertThat(Thread.interrupted()).isTrue();
        assertThat(shell.run("", "echo", "two")).isEqualTo("two\n");
    }
}
