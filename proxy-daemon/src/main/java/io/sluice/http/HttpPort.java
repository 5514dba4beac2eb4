package io.sluice.http;

import io.netty.channel.Channel;
import io.netty.util.concurrent.Future;
import io.sluice.model.IpAddress;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One address on which a site is served. If it cannot be opened, that is logged once and retried until it succeeds, as
 * kube-proxy does. Its state is confined to the server's event loop; methods may be called on any other thread too.
 */
public final class HttpPort implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(HttpPort.class);

    /** How long to wait before a port that cannot be opened is tried again; kube-proxy's. */
    public static final Duration RETRY = Duration.ofSeconds(5);

    private final HttpServer server;
    private final String name;
    private final InetSocketAddress wanted;
    private final Function<Request, Page> site;
    private final Duration retry;
    private final boolean announced;

    private @Nullable Future<?> nextTry;
    private boolean failed;
    private boolean closed;
    private volatile @Nullable Channel channel;

    /** A port whose opening is logged. */
    public HttpPort(HttpServer server, String name, InetSocketAddress wanted, Function<Request, Page> site) {
        this(server, name, wanted, site, RETRY, true);
    }

    /**
     * @param name what the port is for, in log lines
     * @param retry how long to wait before an attempt that failed is repeated
     * @param announced whether opening it is logged even if it did not fail before
     */
    public HttpPort(
            HttpServer server,
            String name,
            InetSocketAddress wanted,
            Function<Request, Page> site,
            Duration retry,
            boolean announced) {
        this.server = server;
        this.name = name;
        this.wanted = wanted;
        this.site = site;
        this.retry = retry;
        this.announced = announced;
    }

    /** Opens the port, now or as soon as that succeeds. */
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
     * Opens the port now.
     *
     * @throws IllegalStateException if that fails
     */
    public void startOrFail() {
        server.run(() -> {
            try {
                open();
            } catch (IOException e) {
                throw new IllegalStateException(
                        name + " cannot be served on " + text(wanted) + ": " + e.getMessage(), e);
            }
        });
    }

    private void open() throws IOException {
        channel = server.listen(wanted, site);
        if (announced || failed) {
            log.info("{} on http://{}", name, text(address().orElse(wanted)));
        }
        failed = false;
    }

    private void warnOnce(IOException e) {
        if (!failed) {
            failed = true;
            log.warn(
                    "{} cannot be served on {}: {}; retrying every {} s",
                    name,
                    text(wanted),
                    e.getMessage(),
                    retry.toSeconds());
        }
    }

    private static String text(InetSocketAddress address) {
        return IpAddress.of(address.getAddress()).withPort(address.getPort());
    }

    /** Where it listens; empty while it does not. */
    public Optional<InetSocketAddress> address() {
        Channel open = channel;
        return open != null && open.isOpen() && open.localAddress() instanceof InetSocketAddress address
                ? Optional.of(address)
                : Optional.empty();
    }

    /** Stops listening; requests that were begun are still answered. The address is free when this returns. */
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
