package io.sluice.demo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

/** Status lines in a terminal and elsewhere, and a closed output. */
final class DemoScreenTest {
    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

    private DemoScreen screen(boolean terminal) {
        return new DemoScreen(new PrintStream(bytes, false, StandardCharsets.UTF_8), terminal);
    }

    private String shown() {
        return bytes.toString(StandardCharsets.UTF_8);
    }

    @Test
    void overwritesTheStatusWithoutWrappingInATerminal() {
        DemoScreen screen = screen(true);
        screen.status("1 connection");
        screen.status("2 connections");
        screen.endStatus();
        assertThat(shown())
                .isEqualTo("\r\033[K\033[?7l   1 connection\033[?7h\r\033[K\033[?7l   2 connections\033[?7h\n");
    }

    @Test
    void printsTheStatusAsALineElsewhere() {
        DemoScreen screen = screen(false);
        screen.status("1 connection");
        screen.endStatus();
        assertThat(shown()).isEqualTo("   1 connection\n");
    }

    @Test
    void noticesAClosedStreamImmediately() {
        PrintStream closed = new PrintStream(
                new OutputStream() {
                    @Override
                    public void write(int b) throws IOException {
                        throw new IOException("Broken pipe");
                    }
                },
                false,
                StandardCharsets.UTF_8);
        DemoScreen screen = new DemoScreen(closed, false);
        assertThatThrownBy(() -> screen.text("hello")).isInstanceOf(DemoScreen.OutputClosed.class);
    }
}
