package io.sluice.socket;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.CyclicBarrier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The file of a listener as other users and processes see it before, during and after the listener's lifetime. */
final class UnixListenerTest {
    private static final Duration LIMIT = Duration.ofSeconds(10);
    private static final int ROUNDS = 500;

    @TempDir
    private Path directory;

    private Path path() {
        return directory.resolve("socket");
    }

    private List<String> names() throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }

    /** Leaves a socket file on which no process listens. */
    private static void listenAndClose(Path path) throws IOException {
        try (ServerSocketChannel other = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            other.bind(UnixDomainSocketAddress.of(path));
        }
    }

    @Test
    void onlyItsUserCanConnectAndNoOtherFilesRemain() throws IOException {
        try (UnixListener listening = UnixListener.bind(path())) {
            assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(path())))
                    .isEqualTo("rw-------");
            assertThat(names()).containsExactly("socket");
            UnixSocket.connect(path(), LIMIT).close();
            assertThat(listening.accept(LIMIT)).isNotNull();
            assertThat(listening.accept(LIMIT)).isNull();
        }
        assertThat(names()).isEmpty();
    }

    /** Binds repeatedly. The test runs this in a process with umask 0, whose new files all users can access. */
    public static void main(String[] args) throws IOException {
        for (int i = 0; i < ROUNDS; i++) {
            UnixListener.bind(Path.of(args[0])).close();
        }
    }

    @Test
    void otherUsersCanNeverConnectWhileItBinds() throws Exception {
        assumeThat(UnixSocket.ownUid())
                .as("needs root to start a process of another user")
                .isZero();
        try (UnixPeer otherUser = new UnixPeer(directory)) {
            otherUser.keepConnecting(path());
            Process binding = new ProcessBuilder(
                            "sh",
                            "-c",
                            "umask 0; exec \"$@\"",
                            "sh",
                            Path.of(System.getProperty("java.home"), "bin/java").toString(),
                            "-cp",
                            System.getProperty("java.class.path"),
                            UnixListenerTest.class.getName(),
                            path().toString())
                    .inheritIO()
                    .start();
            assertThat(binding.waitFor()).isZero();
            assertThat(otherUser.connected()).isZero();
        }
    }

    @Test
    void replacesAnExistingSocketButNoOtherFile() throws IOException {
        listenAndClose(path());
        UnixListener.bind(path()).close();
        assertThat(names()).isEmpty();

        Path file = Files.writeString(directory.resolve("file"), "content");
        assertThatThrownBy(() -> UnixListener.bind(file))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("file' exists and is not a socket");
        listenAndClose(directory.resolve("other"));
        Path link = Files.createSymbolicLink(directory.resolve("link"), directory.resolve("other"));
        assertThatThrownBy(() -> UnixListener.bind(link)).hasMessageContaining("is not a socket");
        assertThat(UnixListener.isSocket(link)).isFalse();
        assertThat(UnixListener.isOwnSocket(link)).isFalse();
        assertThat(UnixListener.isOwnSocket(directory.resolve("other"))).isTrue();
        assertThat(file).hasContent("content");
        assertThat(names()).containsExactly("file", "link", "other");
    }

    @Test
    void removesOnlyItsOwnLeftoversOfAKilledProcess() throws IOException {
        leftover(".sl-dead", "rwx------", true);
        leftover(".sl-none", "rwx------", true);
        Files.delete(directory.resolve(".sl-none/s"));
        age(directory.resolve(".sl-none"));
        leftover(".sl-live", "rwx------", false);
        leftover(".sl-open", "rwxr-xr-x", true);
        Files.writeString(leftover(".sl-used", "rwx------", true).resolve("content"), "x");
        age(directory.resolve(".sl-used"));
        Path file = Files.createDirectory(
                directory.resolve(".sl-file"),
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        Files.writeString(file.resolve("s"), "content");
        age(file);
        leftover("elsewhere", "rwx------", true);
        Files.createSymbolicLink(directory.resolve(".sl-link"), directory.resolve("elsewhere"));
        if (UnixSocket.ownUid() == 0) {
            Files.setAttribute(leftover(".sl-them", "rwx------", true), "unix:uid", 12345);
            age(directory.resolve(".sl-them"));
        } else {
            Files.createDirectory(directory.resolve(".sl-them"));
        }

        UnixListener.bind(path()).close();

        assertThat(names())
                .containsExactly(".sl-file", ".sl-link", ".sl-live", ".sl-open", ".sl-them", ".sl-used", "elsewhere");
        assertThat(directory.resolve("elsewhere/s")).exists();
        assertThat(directory.resolve(".sl-file/s")).hasContent("content");
    }

    private Path leftover(String name, String permissions, boolean old) throws IOException {
        Path leftover = Files.createDirectory(directory.resolve(name));
        listenAndClose(leftover.resolve("s"));
        Files.setPosixFilePermissions(leftover, PosixFilePermissions.fromString(permissions));
        if (old) {
            age(leftover);
        }
        return leftover;
    }

    private static void age(Path directory) throws IOException {
        Files.setLastModifiedTime(directory, FileTime.from(Instant.now().minus(Duration.ofMinutes(2))));
    }

    @Test
    void closingKeepsASocketThatReplacedIt() throws IOException {
        UnixListener first = UnixListener.bind(path());
        try (UnixListener second = UnixListener.bind(path())) {
            first.close();
            UnixSocket.connect(path(), LIMIT).close();
            assertThat(second.accept(LIMIT)).isNotNull();
        }
        assertThat(names()).isEmpty();
    }

    /** Another process may replace the socket between the check of the path and its removal. */
    @Test
    void closingKeepsASocketThatReplacesItMeanwhile() throws Exception {
        Path other = directory.resolve("other");
        CyclicBarrier together = new CyclicBarrier(2);
        Thread replacing = new Thread(() -> {
            try {
                for (int i = 0; i < ROUNDS; i++) {
                    together.await();
                    // Waits a little longer each time, to hit different moments of close().
                    for (int spin = 0; spin < i * 5; spin++) {
                        Thread.onSpinWait();
                    }
                    Files.move(other, path(), StandardCopyOption.ATOMIC_MOVE);
                    together.await();
                }
            } catch (Exception e) {
                throw new AssertionError(e);
            }
        });
        replacing.start();
        for (int i = 0; i < ROUNDS; i++) {
            listenAndClose(other);
            UnixListener listening = UnixListener.bind(path());
            together.await();
            listening.close();
            together.await();
            assertThat(names()).as("round %d", i).containsExactly("socket");
        }
        replacing.join();
    }
}
