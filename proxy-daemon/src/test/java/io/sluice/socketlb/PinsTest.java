package io.sluice.socketlb;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The layout of the pinned files. Plain files take the place of pins. */
final class PinsTest {
    @TempDir
    private Path directory;

    private Path pins() {
        return directory.resolve("sluice");
    }

    private Path file(String name) throws IOException {
        Path file = pins().resolve(name);
        Files.createDirectories(file.getParent());
        return Files.createFile(file);
    }

    private List<String> left() throws IOException {
        try (Stream<Path> files = Files.walk(directory)) {
            return files.filter(Files::isRegularFile)
                    .map(each -> directory.relativize(each).toString())
                    .sorted()
                    .toList();
        }
    }

    @Test
    void removesLinksAndMapsOfAllLayouts() throws IOException {
        for (String hook : List.of("connect4", "connect6", "getpeername4", "getpeername6", "sockops")) {
            file("links/" + hook);
        }
        file("maps-1/frontends");
        file("maps-12/endpoints");
        assertThat(Pins.remove(pins())).isTrue();
        assertThat(pins()).doesNotExist();
        assertThat(Pins.remove(pins())).as("a second time").isFalse();
    }

    @Test
    void removesTheConnectHooksFirst() throws IOException {
        for (String hook : List.of("a", "connect6", "sockops")) {
            file("links/" + hook);
        }
        // A directory with content cannot be deleted.
        file("links/connect4/x");
        assertThatThrownBy(() -> Pins.remove(pins()))
                .isInstanceOf(IOException.class)
                .hasMessage("cannot remove '" + pins().resolve("links/connect4") + "': DirectoryNotEmptyException");
        assertThat(left()).contains("sluice/links/a", "sluice/links/connect6", "sluice/links/sockops");
        Files.delete(pins().resolve("links/connect4/x"));
        Files.delete(pins().resolve("links/connect4"));
        Files.createDirectories(pins().resolve("links/a2"));
        file("links/a2/x");
        assertThatThrownBy(() -> Pins.remove(pins())).hasMessageContaining("links/a2");
        assertThat(left()).containsExactly("sluice/links/a2/x", "sluice/links/sockops");
    }

    @Test
    void leavesFilesOfOthers() throws IOException {
        file("links/connect4");
        file("maps-x/frontends");
        file("maps/frontends");
        file("other");
        Path elsewhere = Files.createDirectory(directory.resolve("elsewhere"));
        Files.createFile(elsewhere.resolve("file"));
        Files.createSymbolicLink(pins().resolve("maps-2"), elsewhere);
        assertThat(Pins.remove(pins())).isTrue();
        assertThat(left())
                .containsExactly("elsewhere/file", "sluice/maps-x/frontends", "sluice/maps/frontends", "sluice/other");
    }

    @Test
    void missingDirectoryIsNoError() throws IOException {
        assertThat(Pins.remove(directory.resolve("none"))).isFalse();
        Files.createDirectory(pins());
        assertThat(Pins.remove(pins())).isFalse();
    }
}
