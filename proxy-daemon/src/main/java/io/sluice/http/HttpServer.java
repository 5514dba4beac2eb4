package io.sluice.http;

import io.netty.buffer.UnpooledByteBufAllocator;
import io.netty.channel.Channel;
import io.netty.channel.ChannelException;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoop;
import io.netty.channel.FixedRecvByteBufAllocator;
import io.netty.channel.ServerChannel;
import io.netty.channel.ServerChannelRecvByteBufAllocator;
import io.netty.channel.WriteBufferWaterMark;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.epoll.EpollServerSocketChannel;
import io.netty.channel.epoll.EpollSocketChannel;
import io.netty.channel.socket.DuplexChannel;
import io.sluice.socket.UnixListener;
import io.sluice.thread.EventLoops;
import io.sluice.thread.Supervisor;
import java.io.IOException;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Event loop of all HTTP ports, separate from the forwarding loops, and the threads that render slow pages. */
public final class HttpServer implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(HttpServer.class);

    private static final int BACKLOG = 1024;
    /**
     * Number of connections that a port accepts before the loop reads from open ones. Far below the connection limit,
     * so that accepting a burst does not close connections of the same burst.
     */
    private static final int ACCEPTS_PER_ROUND = 16;
    /** Time limit for queued tasks, mostly pipelined requests, before ports and connections are polled again. */
    private static final Duration TASK_TIME_PER_ROUND = Duration.ofMillis(1);
    /** Read buffer size. Enough for only a few requests, because the codec decodes all bytes of a read at once. */
    private static final int READ_BYTES = 512;
    /** Limits what the loop copies to the kernel for a client that does not read; the default is megabytes. */
    private static final int SEND_BUFFER_BYTES = 64 * 1024;

    private static final WriteBufferWaterMark UNSENT = new WriteBufferWaterMark(16 * 1024, 32 * 1024);
    private static final long OVERDUE_CHECK_MILLIS = 500;
    private static final Duration QUIET = Duration.ofMillis(1);
    private static final Duration SHUTDOWN = Duration.ofSeconds(2);
    /** Limits the memory for large pages that many clients request but do not read. */
    private static final long UNSENT_BYTES =
            Math.max(16L << 20, Runtime.getRuntime().maxMemory() / 16);

    private final EventLoops loops;
    private final EventLoop loop;
    private final PageRenderer renderer;
    private final HttpConnections connections;
    /** Channels of the open ports, with the actions that must precede their closing. Accessed only on the loop. */
    private final Map<Channel, Runnable> listening = new HashMap<>();

    /**
     * Creates a server and starts its threads, without opening a port.
     *
     * @param maxConnections maximum number of connections to all ports; beyond it, each new connection closes an older
     *     one
     */
    public HttpServer(Supervisor supervisor, int maxConnections) {
        this(supervisor, maxConnections, UNSENT_BYTES, System::nanoTime);
    }

    /** @param unsentBytesLimit maximum total size of response bodies that are not completely sent */
    @SuppressWarnings("FutureReturnValueIgnored") // canceled when the loop ends
    HttpServer(Supervisor supervisor, int maxConnections, long unsentBytesLimit, LongSupplier nanoClock) {
        connections = new HttpConnections(maxConnections, unsentBytesLimit, nanoClock);
        loops = EventLoops.startOne(supervisor, "sluice-http", EpollIoHandler.newFactory(), TASK_TIME_PER_ROUND);
        loop = loops.group().next();
        renderer = new PageRenderer(supervisor, loop);
        loop.scheduleWithFixedDelay(
                this::closeOverdue, OVERDUE_CHECK_MILLIS, OVERDUE_CHECK_MILLIS, TimeUnit.MILLISECONDS);
    }

    /** Closes connections that have exceeded a time limit. Must be called on the loop. */
    void closeOverdue() {
        try {
            connections.closeOverdue();
        } catch (RuntimeException | Error e) {
            log.error("internal error; HTTP connections past their time limit may stay open", e);
        }
    }

    /** Returns the event loop of all ports. */
    public EventLoop loop() {
        return loop;
    }

    /** Runs a task on the loop and waits until it has ended; does nothing once the server is closed. */
    public void run(Runnable task) {
        if (loop.inEventLoop()) {
            task.run();
        } else if (!loop.isShuttingDown()) {
            loop.submit(task).syncUninterruptibly();
        }
    }

    /**
     * Opens a channel that listens on an IP address and port or on a Unix socket. Must be called on the loop.
     *
     * @throws IOException if the address is in use or not local, or no socket can be created
     */
    Channel listen(SocketAddress address, Function<Request, Page> router) throws IOException {
        try {
            if (address instanceof UnixDomainSocketAddress unix) {
                UnixListener listener = UnixAccess.bind(unix.getPath());
                return listen(UnixAccess.channel(listener), null, router, () -> UnixAccess.removeFile(listener));
            }
            EpollServerSocketChannel channel = new EpollServerSocketChannel();
            channel.config().setReuseAddress(true).setBacklog(BACKLOG);
            return listen(channel, address, router, () -> {});
        } catch (ChannelException e) {
            throw failed(e);
        }
    }

    /**
     * @param address address to bind; null if the channel is already bound
     * @param beforeClose action that must precede the closing of the channel
     */
    private Channel listen(
            ServerChannel channel,
            @Nullable SocketAddress address,
            Function<Request, Page> router,
            Runnable beforeClose)
            throws IOException {
        // By default, Netty's epoll accepts one connection per poll, because it takes the descriptor for a byte count.
        ServerChannelRecvByteBufAllocator accepts = new ServerChannelRecvByteBufAllocator();
        accepts.respectMaybeMoreData(false).maxMessagesPerRead(ACCEPTS_PER_ROUND);
        channel.config().setRecvByteBufAllocator(accepts);
        channel.pipeline().addLast(new Acceptor(router));
        // On the loop's thread, both futures are complete when these calls return.
        Throwable cause = loop.register(channel).cause();
        if (cause == null && address != null) {
            cause = channel.bind(address).cause();
        }
        if (cause != null) {
            beforeClose.run();
            channel.unsafe().closeForcibly();
            throw failed(cause);
        }
        listening.put(channel, beforeClose);
        return channel;
    }

    /** Stops listening and closes idle connections; others close after their response. Must be called on the loop. */
    @SuppressWarnings("FutureReturnValueIgnored") // on the loop's thread, the port is closed when this returns
    void close(Channel port) {
        Runnable beforeClose = listening.remove(port);
        if (beforeClose != null) {
            beforeClose.run();
        }
        port.close();
        connections.closeIdle(port);
    }

    /** Returns an exception with Netty's message, but without the system call and error number in it. */
    private static IOException failed(Throwable cause) {
        String message = String.valueOf(cause.getMessage());
        int number = message.indexOf("): ");
        return new IOException(number < 0 ? message : message.substring(number + "): ".length()), cause);
    }

    private final class Acceptor extends ChannelInboundHandlerAdapter {
        private final Function<Request, Page> router;

        Acceptor(Function<Request, Page> router) {
            this.router = router;
        }

        @Override
        public void channelRead(ChannelHandlerContext context, Object accepted) {
            DuplexChannel channel = (DuplexChannel) accepted;
            if (channel instanceof EpollDomainSocketChannel unix && !UnixAccess.isPermitted(unix)) {
                channel.unsafe().closeForcibly();
                return;
            }
            if (channel instanceof EpollSocketChannel tcp) {
                tcp.config().setTcpNoDelay(true);
            }
            channel.config().setOption(ChannelOption.SO_SNDBUF, SEND_BUFFER_BYTES);
            channel.config().setOption(ChannelOption.ALLOW_HALF_CLOSURE, true);
            channel.config()
                    .setAutoRead(false)
                    .setAllocator(UnpooledByteBufAllocator.DEFAULT)
                    .setRecvByteBufAllocator(new FixedRecvByteBufAllocator(READ_BYTES))
                    .setWriteBufferWaterMark(UNSENT);
            HttpConnection connection = new HttpConnection(context.channel(), channel, connections, renderer, router);
            connections.add(connection);
            loop.register(channel).addListener(registered -> {
                if (!registered.isSuccess()) {
                    log.debug("connection from {} failed", channel.remoteAddress(), registered.cause());
                    connection.close();
                }
            });
        }

        /** Closes the oldest connection, because accepting usually fails when the process is out of descriptors. */
        @Override
        public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
            log.debug("failed to accept a connection on {}", context.channel().localAddress(), cause);
            connections.closeOldest();
        }
    }

    /** Closes all ports and connections. Further calls have no effect. */
    @Override
    public void close() {
        renderer.close();
        run(() -> {
            List.copyOf(listening.keySet()).forEach(this::close);
            connections.closeAll();
        });
        loops.close(QUIET, SHUTDOWN).awaitUninterruptibly();
    }
}
