package io.sluice.forward;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.FixedRecvByteBufAllocator;
import io.netty.channel.epoll.EpollDatagramChannel;
import io.netty.channel.epoll.EpollDatagramChannelConfig;
import io.netty.channel.socket.DatagramPacket;
import io.netty.util.concurrent.Future;
import io.netty.util.concurrent.Promise;
import io.sluice.balance.FrontendRouting;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.socket.Descriptors;
import io.sluice.socket.InetSocket;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The UDP socket of one frontend on one loop: reads the datagrams of clients, and gives those of one client that came
 * together to its flow. Everything a client gets leaves through this socket, so answers come from the address that was
 * asked; where it listens on all addresses, the node's rules see to that.
 *
 * <p>Datagrams are read many at a time through Netty's channel. They are sent on the bare socket: the channel's batched
 * write loses count when one of the datagrams is empty.
 */
final class UdpListener extends ChannelInboundHandlerAdapter implements Listener {
    private static final Logger log = LoggerFactory.getLogger(UdpListener.class);

    static final int DATAGRAMS_PER_READ = 16;

    /** How many endpoints are tried when the kernel refuses at once. */
    private static final int MOST_ATTEMPTS = 4;

    private final Loop loop;
    private final FrontendRoutes frontend;
    private final InetSocket socket;
    private final EpollDatagramChannel channel;
    private final SharedReadBuffer readBuffer;
    private final ClientFlows flows;

    /** Whose datagrams are in the loop's batch. */
    private @Nullable UdpFlow gathered;

    private boolean inBatch;
    private long nowNanos;

    private UdpListener(Loop loop, FrontendRoutes frontend, InetSocket socket) {
        this.loop = loop;
        this.frontend = frontend;
        this.socket = socket;
        this.channel = new EpollDatagramChannel(socket.intValue());
        EpollDatagramChannelConfig config = channel.config();
        this.flows = new ClientFlows(loop, frontend, socket);
        this.readBuffer = loop.datagramBuffer(InetSocket.DATAGRAM_BYTES * DATAGRAMS_PER_READ);
        config.setAllocator(readBuffer);
        config.setMaxDatagramPayloadSize(InetSocket.DATAGRAM_BYTES);
        config.setRecvByteBufAllocator(new FixedRecvByteBufAllocator(InetSocket.DATAGRAM_BYTES * DATAGRAMS_PER_READ));
        channel.pipeline().addLast(this);
    }

    /** Binds; datagrams wait in the kernel until {@link #start}. Control side. */
    static UdpListener bind(Loop loop, FrontendRoutes frontend) throws IOException {
        IpAddress address = frontend.address.address();
        InetSocket socket = InetSocket.datagram(address.family());
        try {
            socket.widen();
            socket.setReusePort(true);
            if (loop.transparency != null) {
                TransparentSockets.allow(socket, address.family());
                TransparentSockets.cutToPath(socket, address.family());
            }
            socket.bind(address, frontend.address.port());
            return new UdpListener(loop, frontend, socket);
        } catch (IOException | RuntimeException | Error e) {
            socket.closeQuietly();
            throw e;
        }
    }

    /** A bound socket of a predecessor, and its flows. If this fails the socket is closed, the flows are not. */
    static UdpListener adopt(Loop loop, FrontendRoutes frontend, ForwarderHandover.OpenSocket inherited)
            throws IOException {
        InetSocket socket = InetSocket.adopt(inherited.descriptor());
        try {
            UdpListener listener = new UdpListener(loop, frontend, socket);
            listener.flows.inherit(inherited.flows());
            return listener;
        } catch (RuntimeException | Error e) {
            socket.closeQuietly();
            throw e;
        }
    }

    /** As for TCP: whether somebody else has the address. */
    static void probe(FrontendAddress frontend, boolean transparent) throws IOException {
        IpAddress address = frontend.address();
        InetSocket socket = InetSocket.datagram(address.family());
        try {
            if (transparent) {
                TransparentSockets.allow(socket, address.family());
            }
            socket.bind(address, frontend.port());
        } finally {
            socket.closeQuietly();
        }
    }

    @Override
    public Future<?> start() {
        EventLoopGroup group = loop.executor;
        return loop.executor.submit(() -> {
            loop.requireRegistrable(socket);
            // Before the first datagram is read, which may be of one of these.
            flows.adoptInherited();
            ChannelFuture registered = group.register(channel);
            if (!registered.isSuccess() || !channel.isOpen()) {
                throw new IOException("epoll does not take the socket", registered.cause());
            }
            return channel;
        });
    }

    @Override
    public boolean isUsed() {
        return flows.areOpen();
    }

    @Override
    public Future<?> stop() {
        return loop.executor.submit(this::end);
    }

    private void end() {
        try {
            flows.end();
        } finally {
            channel.unsafe().close(channel.voidPromise());
            // The channel has closed the descriptor that our own socket object counted.
            Descriptors.closed();
        }
    }

    @Override
    public Future<ForwarderHandover.OpenSocket> detach() {
        Promise<ForwarderHandover.OpenSocket> detached = loop.executor.newPromise();
        channel.deregister().addListener(done -> {
            try {
                List<ForwarderHandover.OpenFlow> open = flows.detach();
                Descriptors.closed();
                detached.setSuccess(new ForwarderHandover.OpenSocket(socket.intValue(), open));
            } catch (RuntimeException | Error fault) {
                detached.setFailure(fault);
                end();
            }
        });
        return detached;
    }

    // ---- from clients

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
        DatagramPacket datagram = (DatagramPacket) message;
        try {
            if (!inBatch) {
                inBatch = true;
                nowNanos = loop.now();
            }
            received(datagram.sender(), datagram.content());
        } finally {
            datagram.release();
        }
    }

    @Override
    public void channelReadComplete(ChannelHandlerContext ctx) {
        sendGathered();
        inBatch = false;
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
        if (!(cause instanceof IOException)) {
            log.error("{} failed on loop {}", frontend.address, loop.index, cause);
        }
    }

    @SuppressWarnings("ReferenceEquality") // per datagram: whether the routing was swapped, not whether it differs
    private void received(InetSocketAddress client, ByteBuf content) {
        FrontendRouting routing = frontend.routing;
        int length = content.readableBytes();
        UdpFlow flow = gathered;
        if (flow == null
                || !FlowTable.isSame(flow.client, client)
                || flow.routing != routing
                || !loop.batch.takes(length)) {
            sendGathered();
            flow = flows.flowOf(client, routing, nowNanos);
        }
        if (flow != null) {
            gathered = flow;
            readBuffer.copy(content, loop.buffer, loop.batch.end);
            loop.batch.add(length);
        }
    }

    /** To another endpoint, if the kernel knows that theirs is gone. */
    private void sendGathered() {
        UdpFlow flow = gathered;
        gathered = null;
        try {
            for (int attempt = 1; flow != null; attempt++) {
                UdpFlow dead = flow;
                if (flow.forward(loop.bufferAddress, loop.batch, nowNanos)) {
                    break;
                }
                flow = attempt < MOST_ATTEMPTS
                        ? flows.open(flow.client, frontend.routing, dead.target, nowNanos)
                        : null;
            }
        } catch (RuntimeException | Error fault) {
            if (flow != null) {
                flow.broke(fault);
            }
        } finally {
            loop.batch.clear();
        }
    }
}
