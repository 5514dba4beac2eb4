package io.sluice.http;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.socket.ChannelInputShutdownEvent;
import io.netty.channel.socket.DuplexChannel;
import io.netty.channel.socket.SocketChannel;
import io.netty.handler.codec.DateFormatter;
import io.netty.handler.codec.DecoderException;
import io.netty.handler.codec.http.DefaultHttpContent;
import io.netty.handler.codec.http.DefaultHttpResponse;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpObject;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpServerCodec;
import io.netty.handler.codec.http.HttpServerExpectContinueHandler;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.handler.codec.http.TooLongHttpHeaderException;
import io.netty.handler.codec.http.TooLongHttpLineException;
import io.netty.handler.flow.FlowControlHandler;
import io.netty.util.ReferenceCountUtil;
import io.sluice.http.HttpConnections.Phase;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Date;
import java.util.Map;
import java.util.Objects;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One client connection. Reads a request, sends its response, and only then reads the next request. A response is
 * written in chunks, as fast as the client reads it. Confined to the server's event loop.
 */
final class HttpConnection extends ChannelInboundHandlerAdapter {
    private static final Logger log = LoggerFactory.getLogger(HttpConnection.class);

    private static final int MAX_LINE_BYTES = 4 * 1024;
    private static final int MAX_HEADER_BYTES = 16 * 1024;
    /** Maximum size of a request body. Only {@link Request#MAX_BODY_BYTES} of it are kept; the rest is discarded. */
    private static final int MAX_BODY_BYTES = 64 * 1024;

    private static final int CHUNK_BYTES = 16 * 1024;

    /** Headers of responses to invalid requests, which no router handles. */
    private static final Map<String, String> REJECTION_HEADERS =
            Map.of("Cache-Control", "no-store", "Content-Security-Policy", "default-src 'none'");

    /** Phase, its start and the unsent bytes of the response; all three are set by {@link HttpConnections}. */
    Phase phase = Phase.REQUEST;

    long sinceNanos;
    int unsentBytes;

    /** The listening channel that accepted this connection. */
    final Channel listening;

    private final DuplexChannel channel;
    private final HttpConnections connections;
    private final PageRenderer renderer;
    private final Function<Request, Page> router;

    /** Whether a read of the next part of a request is outstanding. */
    private boolean readPending;

    private @Nullable HttpRequest request;
    private int requestBodyBytes;
    private ByteArrayOutputStream requestBody = new ByteArrayOutputStream(0);
    /** Whether the client has closed its side of the connection. */
    private boolean inputEnded;

    private byte[] body = new byte[0];
    private int bodyStart;
    private boolean lastChunkWritten = true;

    HttpConnection(
            Channel listening,
            DuplexChannel channel,
            HttpConnections connections,
            PageRenderer renderer,
            Function<Request, Page> router) {
        this.listening = listening;
        this.channel = channel;
        this.connections = connections;
        this.renderer = renderer;
        this.router = router;
        channel.pipeline()
                .addLast(
                        new RequestBytes(),
                        new HttpServerCodec(MAX_LINE_BYTES, MAX_HEADER_BYTES, CHUNK_BYTES),
                        new HttpServerExpectContinueHandler(),
                        new FlowControlHandler(),
                        this);
    }

    /** Handles bytes before they are parsed: ends phase {@code IDLE}; discards bytes after the last response. */
    private final class RequestBytes extends ChannelInboundHandlerAdapter {
        private int discardedBytes;

        @Override
        public void channelRead(ChannelHandlerContext context, Object message) {
            if (phase == Phase.CLOSE) {
                discardedBytes += ((ByteBuf) message).readableBytes();
                ReferenceCountUtil.release(message);
                if (discardedBytes > MAX_BODY_BYTES) {
                    close();
                }
                return;
            }
            if (phase == Phase.IDLE) {
                connections.enter(HttpConnection.this, Phase.REQUEST);
            }
            context.fireChannelRead(message);
        }
    }

    @Override
    public void channelActive(ChannelHandlerContext context) {
        readNext();
    }

    private void readNext() {
        readPending = true;
        channel.read();
    }

    /** Reads again if the bytes received so far are only part of a message. */
    @Override
    public void channelReadComplete(ChannelHandlerContext context) {
        if (readPending) {
            channel.read();
        }
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        readPending = false;
        try {
            received((HttpObject) message);
        } finally {
            ReferenceCountUtil.release(message);
        }
    }

    private void received(HttpObject message) {
        if (message.decoderResult().isFailure()) {
            reject(statusOf(message.decoderResult().cause()));
            return;
        }
        if (message instanceof HttpRequest head) {
            request = head;
            requestBodyBytes = 0;
        }
        if (message instanceof HttpContent content) {
            requestBodyBytes += content.content().readableBytes();
            if (requestBodyBytes > MAX_BODY_BYTES) {
                reject(HttpResponseStatus.REQUEST_ENTITY_TOO_LARGE);
                return;
            }
            if (requestBodyBytes <= Request.MAX_BODY_BYTES) {
                requestBody.writeBytes(ByteBufUtil.getBytes(content.content()));
            }
        }
        HttpRequest complete = request;
        if (complete != null && message instanceof LastHttpContent) {
            respond(complete);
        } else {
            readNext();
        }
    }

    private static HttpResponseStatus statusOf(Throwable cause) {
        if (cause instanceof TooLongHttpLineException) {
            return HttpResponseStatus.REQUEST_URI_TOO_LONG;
        }
        return cause instanceof TooLongHttpHeaderException
                ? HttpResponseStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                : HttpResponseStatus.BAD_REQUEST;
    }

    private void reject(HttpResponseStatus status) {
        request = null;
        connections.enter(this, Phase.RESPONSE);
        send(Response.text(status.code(), status.reasonPhrase() + "\n").withHeaders(REJECTION_HEADERS));
    }

    private void respond(HttpRequest complete) {
        connections.enter(this, Phase.RESPONSE);
        boolean bodyTooLong = requestBodyBytes > Request.MAX_BODY_BYTES;
        String text = bodyTooLong ? "" : requestBody.toString(StandardCharsets.UTF_8);
        requestBody = new ByteArrayOutputStream(0);
        Request received = Request.of(
                complete.method().name(),
                complete.uri(),
                name -> String.join(", ", complete.headers().getAll(name)),
                text,
                bodyTooLong);
        renderer.render(router.apply(received), this::send);
    }

    @SuppressWarnings({"FutureReturnValueIgnored", "JavaUtilDate"}) // last write reports failures; Netty requires Date
    private void send(Response response) {
        if (!channel.isActive()) {
            return;
        }
        HttpResponse head =
                new DefaultHttpResponse(HttpVersion.HTTP_1_1, HttpResponseStatus.valueOf(response.status()));
        head.headers()
                .set(HttpHeaderNames.CONTENT_TYPE, response.contentType())
                .set(HttpHeaderNames.CONTENT_LENGTH, response.body().length)
                .set(HttpHeaderNames.DATE, DateFormatter.format(new Date()))
                .set("X-Content-Type-Options", "nosniff");
        response.headers().forEach((name, value) -> head.headers().set(name, value));
        HttpVersion version = request == null ? HttpVersion.HTTP_1_1 : request.protocolVersion();
        HttpUtil.setKeepAlive(head.headers(), version, keepsAlive());
        channel.write(head);
        boolean onlyHead = request != null && request.method().equals(HttpMethod.HEAD);
        body = onlyHead ? new byte[0] : response.body();
        bodyStart = 0;
        lastChunkWritten = false;
        connections.sending(this, body.length);
        writeChunks();
    }

    private boolean keepsAlive() {
        return request != null && !inputEnded && listening.isOpen() && HttpUtil.isKeepAlive(request);
    }

    /** Writes chunks of the body while the channel is writable; called again once the client has read enough. */
    @SuppressWarnings("FutureReturnValueIgnored") // the last write reports failures
    private void writeChunks() {
        while (!lastChunkWritten && channel.isWritable()) {
            int length = Math.min(CHUNK_BYTES, body.length - bodyStart);
            if (length > 0) {
                channel.write(new DefaultHttpContent(Unpooled.wrappedBuffer(body, bodyStart, length)));
                bodyStart += length;
            }
            if (bodyStart == body.length) {
                lastChunkWritten = true;
                channel.writeAndFlush(LastHttpContent.EMPTY_LAST_CONTENT).addListener((ChannelFuture f) -> sent(f));
            } else {
                channel.flush();
            }
        }
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext context) {
        writeChunks();
    }

    private void sent(ChannelFuture last) {
        connections.sent(this);
        if (!last.isSuccess()) {
            close();
        } else if (keepsAlive()) {
            request = null;
            body = new byte[0];
            connections.enter(this, Phase.IDLE);
            // Scheduled as a separate task, so that a client with many pipelined requests does not delay other clients.
            channel.eventLoop().execute(this::readNext);
        } else if (inputEnded) {
            close();
        } else {
            connections.enter(this, Phase.CLOSE);
            channel.shutdownOutput().addListener(ChannelFutureListener.CLOSE_ON_FAILURE);
            channel.config().setAutoRead(true);
        }
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext context, Object event) {
        if (event instanceof ChannelInputShutdownEvent) {
            inputEnded = true;
            if (phase != Phase.RESPONSE) {
                close();
            }
        }
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        connections.remove(this);
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
        if (cause instanceof IOException || cause instanceof DecoderException) {
            log.debug("connection from {} failed", client(), cause);
        } else {
            log.error("internal error; closing the connection from {}", client(), cause);
        }
        close();
    }

    /** Returns the client for log lines. Clients of a Unix socket have no address. */
    private Object client() {
        return channel instanceof SocketChannel
                ? Objects.requireNonNullElse(channel.remoteAddress(), "a closed socket")
                : "the Unix socket";
    }

    /** Closes this connection immediately. */
    void close() {
        connections.remove(this);
        channel.unsafe().close(channel.voidPromise());
    }
}
