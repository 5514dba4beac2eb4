package io.sluice.cli;

import io.netty.bootstrap.Bootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.unix.DomainSocketAddress;
import io.netty.handler.codec.http.DefaultFullHttpRequest;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpClientCodec;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpObjectAggregator;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.util.concurrent.Future;
import io.sluice.cli.AdminClient.Response;
import io.sluice.thread.EventLoops;
import io.sluice.thread.Supervisor;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.channels.ClosedChannelException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Sends each request over a new connection to the Unix socket of the daemon. */
final class UnixSocketTransport implements AdminClient.Transport {
    private final Path socket;
    private final EventLoops loops;

    UnixSocketTransport(Path socket) {
        this.socket = socket;
        loops = EventLoops.start(new Supervisor(), "sluice-admin-client", 1, EpollIoHandler.newFactory());
    }

    @Override
    public String server() {
        return socket.toString();
    }

    @Override
    @SuppressWarnings("FutureReturnValueIgnored") // closing the connection need not be awaited
    public Response send(String method, String pathAndQuery) throws IOException, InterruptedException {
        HttpRequest request =
                new DefaultFullHttpRequest(HttpVersion.HTTP_1_1, HttpMethod.valueOf(method), pathAndQuery);
        request.headers().set(HttpHeaderNames.HOST, "sluice");
        HttpUtil.setContentLength(request, 0);
        HttpUtil.setKeepAlive(request, false);
        CompletableFuture<Response> response = new CompletableFuture<>();
        ChannelFuture connected = new Bootstrap()
                .group(loops.group())
                .channel(EpollDomainSocketChannel.class)
                .handler(handlers(response))
                .connect(new DomainSocketAddress(socket.toFile()));
        connected.addListener(done -> {
            if (done.isSuccess()) {
                connected.channel().writeAndFlush(request).addListener(sent -> failIfNotSuccessful(sent, response));
            }
            failIfNotSuccessful(done, response);
        });
        try {
            return response.get(AdminClient.TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException e) {
            throw new IOException(explain(e.getCause() == null ? e : e.getCause()), e);
        } catch (TimeoutException e) {
            throw new IOException("no complete response within " + AdminClient.TIMEOUT.toSeconds() + " s", e);
        } finally {
            connected.channel().close();
        }
    }

    private static void failIfNotSuccessful(Future<?> done, CompletableFuture<Response> response) {
        Throwable cause = done.cause();
        if (cause != null) {
            response.completeExceptionally(cause);
        }
    }

    private static ChannelInitializer<Channel> handlers(CompletableFuture<Response> response) {
        return new ChannelInitializer<>() {
            @Override
            protected void initChannel(Channel channel) {
                channel.pipeline()
                        .addLast(new HttpClientCodec())
                        .addLast(new HttpObjectAggregator(AdminClient.MAX_RESPONSE_BYTES))
                        .addLast(new ResponseHandler(response));
            }
        };
    }

    /** Completes a future with the response, or with the failure of the connection. */
    private static final class ResponseHandler extends SimpleChannelInboundHandler<FullHttpResponse> {
        private final CompletableFuture<Response> response;

        ResponseHandler(CompletableFuture<Response> response) {
            this.response = response;
        }

        @Override
        protected void channelRead0(ChannelHandlerContext context, FullHttpResponse message) {
            Throwable invalid = message.decoderResult().cause();
            if (invalid != null) {
                response.completeExceptionally(invalid);
                return;
            }
            response.complete(
                    new Response(message.status().code(), message.content().toString(StandardCharsets.UTF_8)));
        }

        @Override
        public void channelInactive(ChannelHandlerContext context) {
            response.completeExceptionally(new ClosedChannelException());
        }

        @Override
        public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
            response.completeExceptionally(cause);
        }
    }

    private static String explain(Throwable cause) {
        String message = String.valueOf(cause.getMessage());
        if (message.contains("Permission denied")) {
            return "permission denied; only root and the user of the Sluice process can use this socket";
        }
        if (message.contains("Connection refused")) {
            return "connection refused; check that Sluice is running, or set --admin-socket or --server";
        }
        // Netty throws this exception, without a message, if there is no such file.
        if (cause instanceof FileNotFoundException) {
            return "does not exist; check that Sluice is running with --admin-socket, or set --admin-socket or"
                    + " --server";
        }
        return cause instanceof ClosedChannelException
                ? "the connection was closed before the response was complete"
                : message;
    }

    @Override
    public void close() {
        loops.close(Duration.ZERO, Duration.ofSeconds(1)).awaitUninterruptibly();
    }
}
