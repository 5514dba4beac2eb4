package io.sluice.cli;

import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;

/** Options that select the daemon: its Unix socket or the URL of its admin API. */
final class AdminOptions {
    private static final Path DEFAULT_SOCKET = Path.of("/run/sluice/admin.sock");
    private static final URI DEFAULT_SERVER = URI.create("http://127.0.0.1:10261");
    private static final String VARIABLE = "SLUICE_ADMIN_SOCKET";

    /** The kernel accepts no longer paths of Unix sockets. */
    private static final int MAX_SOCKET_PATH_BYTES = 107;

    @Option(
            names = "--admin-socket",
            paramLabel = "PATH",
            description = "Unix socket of the daemon. Default: $SLUICE_ADMIN_SOCKET, or /run/sluice/admin.sock if this"
                    + " user can access it, or the --server http://127.0.0.1:10261.")
    private @Nullable Path socket;

    @Option(
            names = "--server",
            paramLabel = "URL",
            description = "URL of the daemon's admin address (read-only), directly or through a proxy.")
    private @Nullable String server;

    boolean isGiven() {
        return socket != null || server != null;
    }

    /** Whether the daemon is selected by a URL. */
    boolean isUrl() {
        return server != null;
    }

    /** Creates a client for requests that only read. */
    AdminClient reader(CommandSpec spec) {
        if (socket != null && server != null) {
            throw new ParameterException(spec.commandLine(), "--admin-socket and --server cannot be combined");
        }
        if (server != null) {
            return new AdminClient(new UrlTransport(url(spec, server)));
        }
        Path path = socket == null ? fromEnvironment(spec) : socket;
        if (path != null) {
            return unixSocket(spec, path);
        }
        return Files.isWritable(DEFAULT_SOCKET)
                ? unixSocket(spec, DEFAULT_SOCKET)
                : new AdminClient(new UrlTransport(DEFAULT_SERVER));
    }

    /** Creates a client for requests that change something, which the daemon accepts only on its Unix socket. */
    AdminClient writer(CommandSpec spec) {
        if (server != null) {
            throw new ParameterException(
                    spec.commandLine(), "--server is read-only; use --admin-socket on the machine of the daemon");
        }
        Path path = socket == null ? fromEnvironment(spec) : socket;
        return unixSocket(spec, path == null ? DEFAULT_SOCKET : path);
    }

    private static @Nullable Path fromEnvironment(CommandSpec spec) {
        String text = Invocation.of(spec).environment().getOrDefault(VARIABLE, "");
        // The daemon has the same variable, for which "off" means that there is no socket.
        return text.isBlank() || text.equals("off") ? null : Path.of(text);
    }

    private static AdminClient unixSocket(CommandSpec spec, Path path) {
        int bytes = path.toString().getBytes(StandardCharsets.UTF_8).length;
        if (bytes == 0 || bytes > MAX_SOCKET_PATH_BYTES) {
            throw new ParameterException(
                    spec.commandLine(),
                    "--admin-socket: path has " + bytes + " bytes; must have 1 to " + MAX_SOCKET_PATH_BYTES);
        }
        return new AdminClient(new UnixSocketTransport(path));
    }

    private static URI url(CommandSpec spec, String text) {
        try {
            URI url = URI.create(text);
            boolean http = "http".equals(url.getScheme()) || "https".equals(url.getScheme());
            if (http && url.getHost() != null && url.getRawQuery() == null && url.getRawFragment() == null) {
                return url;
            }
        } catch (IllegalArgumentException e) {
            throw invalid(spec, text, e);
        }
        throw invalid(spec, text, null);
    }

    private static ParameterException invalid(CommandSpec spec, String text, @Nullable Exception cause) {
        return new ParameterException(
                spec.commandLine(),
                "--server: '" + text + "' is invalid; must be a URL such as http://127.0.0.1:10261",
                cause);
    }
}
