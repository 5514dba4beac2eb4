package io.sluice.socket;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/** A process of another user of this machine, which connects to Unix sockets and listens on them. Needs root to start. */
final class UnixPeer implements AutoCloseable {
    static final int UID = 65534;

    private final Path folder;
    private final Process process;
    private final PrintStream orders;
    private final BufferedReader answers;

    /** @param folder that it can enter from now on, and write into {@code stranger} below it */
    UnixPeer(Path folder) throws IOException {
        this.folder = Files.createDirectory(folder.resolve("stranger"));
        Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwx--x--x"));
        Files.setPosixFilePermissions(this.folder, PosixFilePermissions.fromString("rwxrwxrwx"));
        Path classes = this.folder.resolve("io/sluice/socket");
        Files.createDirectories(classes);
        // Where the classes are built, another user may not be able to read them.
        try (InputStream main = UnixPeer.class.getResourceAsStream("Stranger$Main.class")) {
            Files.copy(Objects.requireNonNull(main), classes.resolve("Stranger$Main.class"));
        }
        process = new ProcessBuilder(
                        "setpriv",
                        "--reuid=" + UID,
                        "--regid=" + UID,
                        "--clear-groups",
                        Path.of(System.getProperty("java.home"), "bin/java").toString(),
                        "-cp",
                        this.folder.toString(),
                        Main.class.getName())
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        orders = new PrintStream(process.getOutputStream(), true, StandardCharsets.UTF_8);
        answers = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
    }

    private String order(String order) throws IOException {
        orders.println(order);
        return Objects.requireNonNull(answers.readLine(), "the stranger has ended");
    }

    /** Where it listens now. */
    Path listen() throws IOException {
        Path path = folder.resolve("listening");
        order("listen " + path);
        return path;
    }

    /** Connects, and stays connected. */
    void connect(Path path) throws IOException {
        String answer = order("connect " + path);
        if (!answer.equals("ok")) {
            throw new AssertionError(answer);
        }
    }

    /** Tries to connect from now on, as fast as it can, until {@link #connected}. */
    void keepConnecting(Path path) throws IOException {
        order("attack " + path);
    }

    /** Ends that; how often it could connect. */
    int connected() throws IOException {
        String[] counts = order("stop").split(" ");
        if (counts[1].equals("0")) {
            throw new AssertionError("it has not tried");
        }
        return Integer.parseInt(counts[0]);
    }

    static void openToEverybody(Path socket) throws IOException {
        Files.setPosixFilePermissions(socket, PosixFilePermissions.fromString("rwxrwxrwx"));
    }

    @Override
    public void close() {
        process.destroyForcibly();
    }

    /** What runs in the other process. */
    static final class Main {
        private static volatile boolean attacking;
        private static int connected;
        private static int refused;

        private Main() {}

        public static void main(String[] args) throws Exception {
            List<AutoCloseable> open = new ArrayList<>();
            Thread attack = new Thread();
            BufferedReader orders = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            for (String order = orders.readLine(); order != null; order = orders.readLine()) {
                String[] words = order.split(" ", 2);
                String answer = "ok";
                try {
                    switch (words[0]) {
                        case "listen" -> {
                            ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
                            open.add(server.bind(UnixDomainSocketAddress.of(words[1])));
                        }
                        case "connect" -> open.add(SocketChannel.open(UnixDomainSocketAddress.of(words[1])));
                        case "attack" -> {
                            attacking = true;
                            attack = new Thread(() -> attack(UnixDomainSocketAddress.of(words[1])));
                            attack.start();
                        }
                        default -> {
                            attacking = false;
                            attack.join();
                            answer = connected + " " + refused;
                        }
                    }
                } catch (IOException e) {
                    answer = e.toString();
                }
                System.out.println(answer);
            }
            for (AutoCloseable each : open) {
                each.close();
            }
        }

        private static void attack(UnixDomainSocketAddress address) {
            while (attacking) {
                try (SocketChannel channel = SocketChannel.open(address)) {
                    connected += channel.isConnected() ? 1 : 0;
                } catch (IOException e) {
                    refused++;
                }
            }
        }
    }
}
