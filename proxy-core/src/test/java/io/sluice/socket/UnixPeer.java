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

/** A process of another user that connects to Unix sockets and listens on them. Starting it needs root. */
final class UnixPeer implements AutoCloseable {
    static final int UID = 65534;

    private final Path directory;
    private final Process process;
    private final PrintStream commands;
    private final BufferedReader replies;

    /** @param directory made accessible to the process, which may write to its new subdirectory {@code other-user} */
    UnixPeer(Path directory) throws IOException {
        this.directory = Files.createDirectory(directory.resolve("other-user"));
        Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwx--x--x"));
        Files.setPosixFilePermissions(this.directory, PosixFilePermissions.fromString("rwxrwxrwx"));
        Path classes = this.directory.resolve("io/sluice/socket");
        Files.createDirectories(classes);
        // The other user may not be able to read the build directory.
        try (InputStream main = UnixPeer.class.getResourceAsStream("UnixPeer$Main.class")) {
            Files.copy(Objects.requireNonNull(main), classes.resolve("UnixPeer$Main.class"));
        }
        process = new ProcessBuilder(
                        "setpriv",
                        "--reuid=" + UID,
                        "--regid=" + UID,
                        "--clear-groups",
                        Path.of(System.getProperty("java.home"), "bin/java").toString(),
                        "-cp",
                        this.directory.toString(),
                        Main.class.getName())
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        commands = new PrintStream(process.getOutputStream(), true, StandardCharsets.UTF_8);
        replies = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
    }

    private String send(String command) throws IOException {
        commands.println(command);
        return Objects.requireNonNull(replies.readLine(), "the process of the other user has ended");
    }

    /** Listens on a new socket and returns its path. */
    Path listen() throws IOException {
        Path path = directory.resolve("listening");
        send("listen " + path);
        return path;
    }

    /** Connects and keeps the connection open. */
    void connect(Path path) throws IOException {
        String reply = send("connect " + path);
        if (!reply.equals("ok")) {
            throw new AssertionError(reply);
        }
    }

    /** Starts connecting as fast as possible until {@link #connected} is called. */
    void keepConnecting(Path path) throws IOException {
        send("connectLoop " + path);
    }

    /** Stops connecting and returns the number of successful attempts. */
    int connected() throws IOException {
        String[] counts = send("stop").split(" ");
        if (counts[1].equals("0")) {
            throw new AssertionError("the process made no connection attempts");
        }
        return Integer.parseInt(counts[0]);
    }

    static void makeAccessibleToAllUsers(Path socket) throws IOException {
        Files.setPosixFilePermissions(socket, PosixFilePermissions.fromString("rwxrwxrwx"));
    }

    @Override
    public void close() {
        process.destroyForcibly();
    }

    /** The program of the other process. */
    static final class Main {
        private static volatile boolean connecting;
        private static int connected;
        private static int failed;

        private Main() {}

        public static void main(String[] args) throws Exception {
            List<AutoCloseable> open = new ArrayList<>();
            Thread connectLoop = new Thread();
            BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            for (String command = commands.readLine(); command != null; command = commands.readLine()) {
                String[] words = command.split(" ", 2);
                String reply = "ok";
                try {
                    switch (words[0]) {
                        case "listen" -> {
                            ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
                            open.add(server.bind(UnixDomainSocketAddress.of(words[1])));
                        }
                        case "connect" -> open.add(SocketChannel.open(UnixDomainSocketAddress.of(words[1])));
                        case "connectLoop" -> {
                            connecting = true;
                            connectLoop = new Thread(() -> connectLoop(UnixDomainSocketAddress.of(words[1])));
                            connectLoop.start();
                        }
                        default -> {
                            connecting = false;
                            connectLoop.join();
                            reply = connected + " " + failed;
                        }
                    }
                } catch (IOException e) {
                    reply = e.toString();
                }
                System.out.println(reply);
            }
            for (AutoCloseable each : open) {
                each.close();
            }
        }

        private static void connectLoop(UnixDomainSocketAddress address) {
            while (connecting) {
                try (SocketChannel channel = SocketChannel.open(address)) {
                    connected += channel.isConnected() ? 1 : 0;
                } catch (IOException e) {
                    failed++;
                }
            }
        }
    }
}
