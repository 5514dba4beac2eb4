package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.sluice.Document;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Runs the shell blocks of {@code README.md} and {@code deploy/README.md} that are not marked as needing a cluster or a
 * build, in the root of the repository, with the {@code sluice} of the distribution.
 */
@Timeout(120)
@Tag("one-jdk")
final class ShellBlocksIT {
    private static final Path BIN =
            Path.of(System.getProperty("sluice.home", "target/sluice")).resolve("bin");

    static List<String> blocks() throws Exception {
        List<String> blocks = new ArrayList<>();
        for (String path : List.of("README.md", "deploy/README.md")) {
            Document.read(path).fenced().stream()
                    .filter(block -> block.info().equals("sh"))
                    .forEach(block -> blocks.add(block.text()));
        }
        return blocks;
    }

    @ParameterizedTest
    @MethodSource("blocks")
    void succeeds(String block) throws Exception {
        assumeTrue(!block.contains("kubectl ") || isInstalled("kubectl"), "kubectl is not installed");
        ProcessBuilder bash = new ProcessBuilder("bash", "-euc", block)
                .directory(Document.ROOT.toFile())
                .redirectErrorStream(true);
        bash.environment().merge("PATH", BIN.toAbsolutePath().toString(), (path, bin) -> bin + ":" + path);
        Process process = bash.start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor()).as(block + output).isZero();
    }

    private static boolean isInstalled(String program) {
        for (String directory : System.getenv("PATH").split(File.pathSeparator)) {
            if (Files.isExecutable(Path.of(directory, program))) {
                return true;
            }
        }
        return false;
    }
}
