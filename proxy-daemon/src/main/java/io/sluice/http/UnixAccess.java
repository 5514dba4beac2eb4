package io.sluice.http;

import io.netty.channel.ChannelException;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.epoll.EpollServerDomainSocketChannel;
import io.sluice.socket.Errno;
import io.sluice.socket.UnixListener;
import io.sluice.socket.UnixSocket;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Binds Unix sockets of the HTTP server, and restricts access to them to root and the user of this process. */
final class UnixAccess {
    private static final Logger log = LoggerFactory.getLogger(UnixAccess.class);

    /** Connecting to a listening socket takes this long only if its process does not accept and its backlog is full. */
    private static final Duration CONNECT_LIMIT = Duration.ofMillis(100);

    private UnixAccess() {}

    /**
     * Creates a listening socket with mode 0600. Replaces a socket file that a dead process left behind.
     *
     * @throws IOException if another process listens on the path, or it cannot be bound; the message gives the reason
     */
    static UnixListener bind(Path path) throws IOException {
        Path absolute = path.toAbsolutePath();
        int bytes = absolute.toString().getBytes(StandardCharsets.UTF_8).length;
        if (bytes > UnixListener.MAX_PATH_BYTES) {
            throw new IOException("the path of a Unix socket must not exceed " + UnixListener.MAX_PATH_BYTES
                    + " bytes, but has " + bytes);
        }
        if (Files.exists(absolute, LinkOption.NOFOLLOW_LINKS) && isListening(absolute)) {
            throw new IOException("another process listens on it");
        }
        try {
            return UnixListener.bind(absolute);
        } catch (NoSuchFileException e) {
            throw new IOException("directory '" + absolute.getParent() + "' does not exist", e);
        } catch (AccessDeniedException e) {
            throw new IOException("no permission to create files in '" + absolute.getParent() + "'", e);
        } catch (FileSystemException e) {
            throw new IOException(e.getReason() == null ? e.getMessage() : e.getReason(), e);
        }
    }

    private static boolean isListening(Path path) throws IOException {
        try {
            UnixSocket.connect(path, CONNECT_LIMIT).close();
            return true;
        } catch (SocketTimeoutException e) {
            log.debug("the process that listens on '{}' does not accept connections", path, e);
            return true;
        } catch (FileNotFoundException e) {
            log.debug("'{}' was removed in the meantime", path, e);
            return false;
        } catch (IOException e) {
            if (Errno.of(e) == Errno.ECONNREFUSED) {
                return false;
            }
            throw new IOException("cannot determine whether another process listens on it: " + e.getMessage(), e);
        }
    }

    /**
     * Creates a channel for a listening socket. From then on the channel owns the descriptor, and of the listener, only
     * {@link UnixListener#removeFile} may be used.
     */
    static EpollServerDomainSocketChannel channel(UnixListener listener) {
        try {
            // Active, because it already listens. Otherwise, the channel would wait for a bind.
            return new EpollServerDomainSocketChannel(listener.descriptor().intValue(), true);
        } catch (ChannelException e) {
            listener.close();
            throw e;
        }
    }

    /** Removes the socket file if it still belongs to this listener. Must precede the closing of the channel. */
    static void removeFile(UnixListener listener) {
        try {
            listener.removeFile();
        } catch (IOException e) {
            log.warn("cannot remove the socket file of the admin API: {}", e.toString());
        }
    }

    /** Returns whether a client runs as root or as the user of this process; logs other users at debug level. */
    static boolean isPermitted(EpollDomainSocketChannel client) {
        try {
            int uid = client.peerCredentials().uid();
            if (UnixSocket.isTrusted(uid)) {
                return true;
            }
            log.debug("closing a connection of user ID {}; only root and the user of this process may connect", uid);
        } catch (IOException e) {
            log.debug("closing a connection: cannot determine the user ID of the client", e);
        }
        return false;
    }
}
