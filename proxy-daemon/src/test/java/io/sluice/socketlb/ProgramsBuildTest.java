package io.sluice.socketlb;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.sluice.TestShell;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The compiled programs are those of the source. */
@Tag("one-jdk")
final class ProgramsBuildTest {
    private static final Path SOURCE = Path.of("src/main/resources/io/sluice/socketlb");

    private static final Path HEADERS = Path.of("/usr/include/bpf/bpf_helpers.h");

    private static boolean prints(String command, String expected) throws IOException {
        return TestShell.sh(command + " || true").contains(expected);
    }

    @Test
    void sourceGivesTheCommittedObject(@TempDir Path directory) throws IOException {
        // Other versions generate other code from the same source, and other headers other type information.
        assumeTrue(prints("clang --version", "Debian clang version 14."), "needs clang 14 of Debian 12");
        assumeTrue(prints("llvm-strip --version", "LLVM version 14."), "needs llvm-strip of LLVM 14");
        assumeTrue(Files.exists(HEADERS), "needs " + HEADERS + " (Debian: libbpf-dev)");
        // The source is copied, so that the result cannot depend on its path.
        Path copy = directory.resolve("socketlb.bpf.c");
        Files.copy(SOURCE.resolve("socketlb.bpf.c"), copy);
        Path script = directory.resolve("build.sh");
        Files.copy(SOURCE.resolve("build.sh"), script);
        Path output = directory.resolve("socketlb.bpf.o");
        assertThat(TestShell.sh("sh " + script + " " + output)).isEmpty();
        try (InputStream committed = Programs.class.getResourceAsStream("socketlb.bpf.o")) {
            assertThat(output)
                    .as("run build.sh after a change of socketlb.bpf.c")
                    .hasBinaryContent(Objects.requireNonNull(committed).readAllBytes());
        }
    }
}
