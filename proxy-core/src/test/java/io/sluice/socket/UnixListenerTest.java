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

/** What other users and other processes find at a listener's path, before, while and after it is there. */
final class UnixListenerTest {
    private static final Duration LIMIT = Duration.ofSeconds(10);
    private static final int ROUNDS = 500;

    @TempDir
    private Path folder;

    private Path path() {
        return folder.resolve("socket");
    }

    private List<String> names() throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }

    private static void listenAndClose(Path path) throws IOException {
        try (ServerSocketChannel other = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            other.bind(UnixDomainSocketAddress.of(path));
        }
    }

    @Test
    void onlyItsUserCanConnectAndNothingElseIsLeftBesideIt() throws IOException {
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

    /** Binds again and again in a process that would let everybody connect to what it makes. */
    public static void main(String[] args) throws IOException {
        for (int i = 0; i < ROUNDS; i++) {
            UnixListener.bind(Path.of(args[0])).close();
        }
    }

    @Test
    void thereIsNoInstantInWhichAnotherUserCanConnect() throws Exception {
        assumeThat(UnixSocket.ownUid())
                .as("needs root, to start a process of another user")
                .isZero();
        try (UnixPeer stranger = new UnixPeer(folder)) {
            stranger.keepConnecting(path());
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
            assertThat(stranger.connected()).isZero();
        }
    }

    @Test
    void aSocketThatIsThereIsReplacedAndNothingElseIs() throws IOException {
        listenAndClose(path());
        UnixListener.bind(path()).close();
        assertThat(names()).isEmpty();

        Path file = Files.writeString(folder.resolve("file"), "precious");
        assertThatThrownBy(() -> UnixListener.bind(file))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("file exists and is not a socket");
        listenAndClose(folder.resolve("other"));
        Path link = Files.createSymbolicLink(folder.resolve("link"), folder.resolve("other"));
        assertThatThrownBy(() -> UnixListener.bind(link)).hasMessageContaining("is not a socket");
        assertThat(UnixListener.isSocket(link)).isFalse();
        assertThat(UnixListener.isOwnSocket(link)).isFalse();
        assertThat(UnixListener.isOwnSocket(folder.resolve("other"))).isTrue();
        assertThat(file).hasContent("precious");
        assertThat(names()).containsExactly("file", "link", "other");
    }

    @Test
    void whatAKilledStartLeftIsRemovedAndNothingThatIsNotItsOwn() throws IOException {
        leftover(".sl-dead", "rwx------", true);
        leftover(".sl-none", "rwx------", true);
        Files.delete(folder.resolve(".sl-none/s"));
        age(folder.resolve(".sl-none"));
        leftover(".sl-live", "rwx------", false);
        leftover(".sl-open", "rwxr-xr-x", true);
        Files.writeString(leftover(".sl-used", "rwx------", true).resolve("precious"), "x");
        age(folder.resolve(".sl-used"));
        Path file = Files.createDirectory(
                folder.resolve(".sl-file"),
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        Files.writeString(file.resolve("s"), "precious");
        age(file);
        leftover("elsewhere", "rwx------", true);
        Files.createSymbolicLink(folder.resolve(".sl-link"), folder.resolve("elsewhere"));
        if (UnixSocket.ownUid() == 0) {
            Files.setAttribute(leftover(".sl-them", "rwx------", true), "unix:uid", 12345);
            age(folder.resolve(".sl-them"));
        } else {
            Files.createDirectory(folder.resolve(".sl-them"));
        }

        UnixListener.bind(path()).close();

        assertThat(names())
                .containsExactly(".sl-file", ".sl-link", ".sl-live", ".sl-open", ".sl-them", ".sl-used", "elsewhere");
        assertThat(folder.resolve("elsewhere/s")).exists();
        assertThat(folder.resolve(".sl-file/s")).hasContent("precious");
    }

    private Path leftover(String name, String permissions, boolean old) throws IOException {
        Path directory = Files.createDirectory(folder.resolve(name));
        listenAndClose(directory.resolve("s"));
        Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString(permissions));
        if (old) {
            age(directory);
        }
        return directory;
    }

    private static void age(Path directory) throws IOException {
        Files.setLastModifiedTime(directory, FileTime.from(Instant.now().minus(Duration.ofMinutes(2))));
    }

    @Test
    void aSocketThatReplacedItStays() throws IOException {
        UnixListener first = UnixListener.bind(path());
        try (UnixListener second = UnixListener.bind(path())) {
            first.close();
            UnixSocket.connect(path(), LIMIT).close();
            assertThat(second.accept(LIMIT)).isNotNull();
        }
        assertThat(names()).isEmpty();
    }

    /** Between a look at the path and an unlink there, another process may put its own socket in place. */
    @Test
    void aSocketThatReplacesItWhileItClosesStays() throws Exception {
        Path other = folder.resolve("other");
        CyclicBarrier together = new CyclicBarrier(2);
        Thread replacing = new Thread(() -> {
            try {
                for (int i = 0; i < ROUNDS; i++) {
                    together.await();
                    // At another moment of the closing each time.
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
