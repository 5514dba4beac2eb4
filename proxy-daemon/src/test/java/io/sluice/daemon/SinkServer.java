package io.sluice.daemon;

import io.netty.bootstrap.Bootstrap;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollChannelOption;
import io.netty.channel.epoll.EpollDatagramChannel;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.epoll.EpollServerSocketChannel;
import io.netty.channel.socket.DatagramPacket;
import io.netty.channel.socket.SocketProtocolFamily;
import java.nio.charset.StandardCharsets;

/**
 * Another transparent proxy on the node, which listens on a port of all addresses and answers clients of any
 * destination.
 */
final class SinkServer {
    private SinkServer() {}

    public static void main(String[] args) throws Exception {
        int port = Integer.parseInt(args[0]);
        EventLoopGroup group = new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
        new ServerBootstrap()
                .group(group)
                .channelFactory(() -> new EpollServerSocketChannel(SocketProtocolFamily.INET))
                .option(EpollChannelOption.IP_TRANSPARENT, true)
                .childHandler(new AnswerHandler())
                .bind("0.0.0.0", port)
                .sync();
        new Bootstrap()
                .group(group)
                .channelFactory(() -> new EpollDatagramChannel(SocketProtocolFamily.INET))
                .option(EpollChannelOption.IP_TRANSPARENT, true)
                .handler(new AnswerHandler())
                .bind("0.0.0.0", port)
                .sync();
        System.out.println("listening");
        Thread.currentThread().join();
    }

    @ChannelHandler.Sharable
    @SuppressWarnings("FutureReturnValueIgnored") // the client detects a missing answer
    private static final class AnswerHandler extends ChannelInboundHandlerAdapter {
        @Override
        public void channelActive(ChannelHandlerContext ctx) {
            if (!(ctx.channel() instanceof EpollDatagramChannel)) {
                ctx.writeAndFlush(Unpooled.copiedBuffer("everything 0.0.0.0", StandardCharsets.UTF_8))
                        .addListener(ChannelFutureListener.CLOSE);
            }
        }

        @Override
        public void channelRead(ChannelHandlerContext ctx, Object message) {
            if (message instanceof DatagramPacket packet) {
                ctx.writeAndFlush(new DatagramPacket(
                        Unpooled.copiedBuffer("everything 0.0.0.0", StandardCharsets.UTF_8), packet.sender()));
                packet.release();
            }
        }
    }
}
