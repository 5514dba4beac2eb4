package io.sluice.http;

import io.netty.channel.Channel;
import io.netty.util.concurrent.Future;
import io.sluice.model.IpAddress;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A port of the HTTP server, or a Unix socket on which it serves. If {@link #start} cannot open the port, the failure is logged once and the attempt is
 * repeated until it succeeds, as in kube-proxy. Thread-safe: the state is confined to the server's event loop.
 */
public final class HttpPort implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(HttpPort.class);

    /** Delay between attempts to open a port; kube-proxy uses the same value. */
    public static final Duration RETRY = Duration.ofSeconds(5);

    private final HttpServer server;
    private final String name;
    private final SocketAddress wanted;
    private final Function<Request, Page> router;
    private final Duration retry;
    private final boolean announced;

    private @Nullable Future<?> nextTry;
    private boolean failed;
    private boolean closed;
    private volatile @Nullable Channel channel;

    /** Creates a port without opening it. Logs when the port is opened, and retries after {@link #RETRY}. */
    public HttpPort(HttpServer server, String name, SocketAddress wanted, Function<Request, Page> router) {
        this(server, name, wanted, router, RETRY, true);
    }

    /**
     * Creates a port without opening it.
     *
     * @param name purpose of the port, for log lines
     * @param wanted IP address and port, or the path of a Unix socket
     * @param router function from a request to its page
     * @param retry delay before a failed attempt is repeated
     * @param announced whether to log a successful attempt even if no earlier attempt failed
     */
    public HttpPort(
            HttpServer server,
            String name,
            SocketAddress wanted,
            Function<Request, Page> router,
            Duration retry,
            boolean announced) {
        this.server = server;
        this.name = name;
        this.wanted = wanted;
        this.router = router;
        this.retry = retry;
        this.announced = announced;
    }

    /** Opens the port, and retries in the background if that fails. */
    public void start() {
        server.run(() -> {
            if (closed || channel != null) {
                return;
            }
            if (nextTry != null) {
                nextTry.cancel(false);
            }
            try {
                open();
            } catch (IOException e) {
                warnOnce(e);
                nextTry = server.loop().schedule(this::start, retry.toMillis(), TimeUnit.MILLISECONDS);
            }
        });
    }

    /**
     * Opens the port without retrying.
     *
     * @throws IllegalStateException if the port cannot be opened
     */
    public void startOrFail() {
        server.run(() -> {
            try {
                open();
            } catch (IOException e) {
                throw new IllegalStateException(
                        "cannot serve " + name + " on " + text(wanted) + ": " + e.getMessage(), e);
            }
        });
    }

    private void open() throws IOException {
        channel = server.listen(wanted, router);
        if (announced || failed) {
            Optional<InetSocketAddress> address = address();
            log.info("serving {} on {}", name, address.isPresent() ? "http://" + text(address.get()) : text(wanted));
        }
        failed = false;
    }

    private void warnOnce(IOException e) {
        if (!failed) {
            failed = true;
            log.warn(
                    "cannot serve {} on {}: {}; retrying every {} s",
                    name,
                    text(wanted),
                    e.getMessage(),
                    retry.toSeconds());
        }
    }

    private static String text(SocketAddress address) {
        return address instanceof InetSocketAddress ip
                ? IpAddress.of(ip.getAddress()).withPort(ip.getPort())
                : "Unix socket '" + ((UnixDomainSocketAddress) address).getPath() + "'";
    }

    /** Returns whether the port is open. */
    public boolean isOpen() {
        Channel open = channel;
        return open != null && open.isOpen();
    }

    /** Returns the address on which the port listens; empty while it is not open, and for a Unix socket. */
    public Optional<InetSocketAddress> address() {
        Channel open = channel;
        return open != null && open.isOpen() && open.localAddress() instanceof InetSocketAddress address
                ? Optional.of(address)
                : Optional.empty();
    }

    /** Stops listening; requests in progress still get a response. The address is free when this method returns. */
    @Override
    public void close() {
        server.run(() -> {
            closed = true;
            if (nextTry != null) {
                nextTry.cancel(false);
            }
            Channel open = channel;
            if (open != null) {
                server.close(open);
            }
        });
    }
}
