package io.sluice.http;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.epoll.EpollSocketChannel;
import io.netty.channel.socket.ChannelInputShutdownEvent;
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
import java.io.IOException;
import java.util.Date;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One client of the server: reads a request, sends its response, and only then reads the next. A response is handed to
 * the kernel piece by piece as the client reads it. Confined to the server's event loop.
 */
final class HttpConnection extends ChannelInboundHandlerAdapter {
    private static final Logger log = LoggerFactory.getLogger(HttpConnection.class);

    private static final int MAX_LINE_BYTES = 4 * 1024;
    private static final int MAX_HEADER_BYTES = 16 * 1024;
    /** No page wants a body; some clients send one all the same. */
    private static final int MAX_BODY_BYTES = 64 * 1024;

    private static final int PIECE_BYTES = 16 * 1024;

    /** Maintained by {@link HttpConnections}. */
    Phase phase = Phase.REQUEST;

    long sinceNanos;
    int unsentBytes;

    /** The port that accepted it. */
    final Channel listening;

    private final EpollSocketChannel channel;
    private final HttpConnections connections;
    private final SlowPages slowPages;
    private final Function<Request, Page> site;

    /** Whether the next part of a request is wanted. */
    private boolean awaiting;

    private @Nullable HttpRequest request;
    private int requestBodyBytes;
    /** Whether the client will send nothing more. */
    private boolean inputEnded;

    private byte[] body = new byte[0];
    private int bodyStart;
    private boolean lastPieceWritten = true;

    HttpConnection(
            Channel listening,
            EpollSocketChannel channel,
            HttpConnections connections,
            SlowPages slowPages,
            Function<Request, Page> site) {
        this.listening = listening;
        this.channel = channel;
        this.connections = connections;
        this.slowPages = slowPages;
        this.site = site;
        channel.pipeline()
                .addLast(
                        new Arrivals(),
                        new HttpServerCodec(MAX_LINE_BYTES, MAX_HEADER_BYTES, PIECE_BYTES),
                        new HttpServerExpectContinueHandler(),
                        new FlowControlHandler(),
                        this);
    }

    /** Sees the bytes before they are parsed. */
    private final class Arrivals extends ChannelInboundHandlerAdapter {
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
        awaiting = true;
        channel.read();
    }

    /** What was read may have been only a part of a message. */
    @Override
    public void channelReadComplete(ChannelHandlerContext context) {
        if (awaiting) {
            channel.read();
        }
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        awaiting = false;
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
        send(Response.text(status.code(), status.reasonPhrase() + "\n"));
    }

    private void respond(HttpRequest complete) {
        connections.enter(this, Phase.RESPONSE);
        Page page = site.apply(Request.of(complete.method().name(), complete.uri()));
        if (page.isSlow()) {
            slowPages.request(page, this::send);
        } else {
            send(page.render());
        }
    }

    @SuppressWarnings({"FutureReturnValueIgnored", "JavaUtilDate"}) // the last write tells; Netty formats no other type
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
        lastPieceWritten = false;
        connections.sending(this, body.length);
        writePieces();
    }

    private boolean keepsAlive() {
        return request != null && !inputEnded && listening.isOpen() && HttpUtil.isKeepAlive(request);
    }

    /** Writes as much of the body as the channel takes; the rest once the client has read that. */
    @SuppressWarnings("FutureReturnValueIgnored") // the last write tells of all
    private void writePieces() {
        while (!lastPieceWritten && channel.isWritable()) {
            int length = Math.min(PIECE_BYTES, body.length - bodyStart);
            if (length > 0) {
                channel.write(new DefaultHttpContent(Unpooled.wrappedBuffer(body, bodyStart, length)));
                bodyStart += length;
            }
            if (bodyStart == body.length) {
                lastPieceWritten = true;
                channel.writeAndFlush(LastHttpContent.EMPTY_LAST_CONTENT).addListener((ChannelFuture f) -> sent(f));
            } else {
                channel.flush();
            }
        }
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext context) {
        writePieces();
    }

    private void sent(ChannelFuture last) {
        connections.sent(this);
        if (!last.isSuccess()) {
            close();
        } else if (keepsAlive()) {
            request = null;
            body = new byte[0];
            connections.enter(this, Phase.IDLE);
            // Not at once: clients that pipeline many requests would keep the others waiting.
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
            log.debug("connection of {} failed", channel.remoteAddress(), cause);
        } else {
            log.error("internal error; closing the connection of {}", channel.remoteAddress(), cause);
        }
        close();
    }

    /** Closes it at once. */
    void close() {
        connections.remove(this);
        channel.unsafe().close(channel.voidPromise());
    }
}
