package io.sluice.handoverbench;

import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.epoll.EpollDatagramChannel;
import io.netty.channel.socket.DatagramPacket;
import io.netty.channel.socket.SocketChannel;
import io.netty.handler.codec.ByteToMessageDecoder;
import io.sluice.handoverbench.Opening.Kind;
import java.io.IOException;
import java.net.BindException;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;

/** The process with all endpoints: accepts connections on several addresses and does what their first bytes ask for. */
final class EndpointProcess {
    private static final int BIND_ATTEMPTS = 20;

    // Accepting has a thread of its own: a loop with thousands of busy connections accepts too few.
    private final MultiThreadIoEventLoopGroup acceptor = Worker.loops(1, "acceptor");
    private final MultiThreadIoEventLoopGroup loops = Worker.loops(2, "endpoint");
    private final Faults faults = new Faults();
    private final Map<Long, EndpointConnection> special = new ConcurrentHashMap<>();

    private EndpointProcess() {}

    /** The port on which all addresses listen. */
    record Listening(int port) {}

    /** How many bytes an endpoint has exchanged, and whether both directions have ended. */
    record Total(Kind kind, long received, long sent, boolean ended) {}

    /** The state of all connections except those of kind REPLY, by number, and the faults. */
    record Totals(Map<Long, Total> connections, Faults.Summary faults) {}

    public static void main(String[] args) throws IOException {
        EndpointProcess process = new EndpointProcess();
        Worker.serve(process::execute);
        System.exit(0);
    }

    private Object execute(String command, String argument) throws IOException {
        switch (command) {
            case "listen" -> {
                return new Listening(listen(List.of(argument.split(","))));
            }
            case "release" -> {
                special.values()
                        .forEach(each ->
                                each.channel().eventLoop().submit(each::release).syncUninterruptibly());
                return new Worker.Done();
            }
            case "totals" -> {
                return totals();
            }
            default -> throw new IOException("unknown command " + command);
        }
    }

    private Totals totals() {
        Map<Long, Total> totals = new TreeMap<>();
        special.forEach((number, each) -> totals.put(
                number,
                each.channel()
                        .eventLoop()
                        .submit(() -> new Total(each.opening.kind(), each.received(), each.sent(), each.hasEnded()))
                        .syncUninterruptibly()
                        .getNow()));
        return new Totals(totals, faults.summary());
    }

    /** Binds all addresses to one port that the kernel chooses for the first address. */
    private int listen(List<String> addresses) throws IOException {
        for (int attempt = 1; ; attempt++) {
            int port = ((InetSocketAddress) bindTcp(addresses.get(0), 0).localAddress()).getPort();
            try {
                for (String address : addresses.subList(1, addresses.size())) {
                    bindTcp(address, port);
                }
                for (int i = 0; i < addresses.size(); i++) {
                    bindUdp(addresses.get(i), port, i);
                }
                return port;
            } catch (BindException e) {
                if (attempt == BIND_ATTEMPTS) {
                    throw e;
                }
            }
        }
    }

    private Channel bindTcp(String address, int port) throws IOException {
        return bound(Worker.server(acceptor, loops)
                .childHandler(new ChannelInitializer<SocketChannel>() {
                    @Override
                    protected void initChannel(SocketChannel channel) {
                        channel.pipeline().addLast(new OpeningReader());
                    }
                })
                .bind(address, port));
    }

    private Channel bindUdp(String address, int port, int endpoint) throws IOException {
        return bound(new Bootstrap()
                .group(loops)
                .channel(EpollDatagramChannel.class)
                .handler(new DatagramEcho(endpoint))
                .bind(address, port));
    }

    private static Channel bound(ChannelFuture future) throws IOException {
        future.awaitUninterruptibly();
        if (!future.isSuccess()) {
            if (future.cause() instanceof BindException e) {
                throw e;
            }
            throw new IOException(future.cause());
        }
        return future.channel();
    }

    /** Waits for the first bytes of a connection and then replaces itself. */
    private final class OpeningReader extends ByteToMessageDecoder {
        @Override
        protected void decode(ChannelHandlerContext context, ByteBuf bytes, List<Object> out) throws IOException {
            if (bytes.readableBytes() >= Opening.BYTES) {
                EndpointConnection connection = new EndpointConnection(Opening.decode(bytes), faults);
                if (connection.opening.kind() != Kind.REPLY) {
                    special.put(connection.opening.connection(), connection);
                }
                context.pipeline().addLast(connection);
                connection.start();
                // Forwards the remaining bytes.
                context.pipeline().remove(this);
            }
        }

        @Override
        @SuppressWarnings("FutureReturnValueIgnored") // closing need not be awaited
        public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
            faults.add(Faults.Fault.RESET, "before the first bytes: " + cause.getMessage());
            context.close();
        }
    }

    /** Returns each datagram with the number of the endpoint. */
    private static final class DatagramEcho extends SimpleChannelInboundHandler<DatagramPacket> {
        private final int endpoint;

        DatagramEcho(int endpoint) {
            this.endpoint = endpoint;
        }

        @Override
        @SuppressWarnings("FutureReturnValueIgnored") // failures of writes arrive in exceptionCaught
        protected void channelRead0(ChannelHandlerContext context, DatagramPacket packet) {
            ByteBuf reply = context.alloc()
                    .directBuffer(packet.content().readableBytes() + Integer.BYTES)
                    .writeBytes(packet.content())
                    .writeInt(endpoint);
            context.writeAndFlush(new DatagramPacket(reply, packet.sender()), context.voidPromise());
        }

        @Override
        public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
            // An ICMP error for an earlier reply. The client counts the lost reply.
            System.err.println("UDP endpoint " + endpoint + ": " + cause);
        }
    }
}
