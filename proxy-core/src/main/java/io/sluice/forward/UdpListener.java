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
import io.sluice.socket.DatagramBatch;
import io.sluice.socket.Descriptors;
import io.sluice.socket.InetSocket;
import io.sluice.socket.UdpBuffers;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * UDP socket of one frontend on one loop. Reads datagrams in batches, and passes consecutive datagrams from one client
 * to its flow together. Replies are sent through this socket, so their source is the address that the client sent to.
 * If the socket is bound to all addresses, the nftables rules restore that address.
 *
 * <p>Datagrams are read through Netty's channel, many at a time, but sent directly on the socket, because the channel's
 * batched write counts datagrams incorrectly if one is empty.
 */
final class UdpListener extends ChannelInboundHandlerAdapter implements Listener {
    private static final Logger log = LoggerFactory.getLogger(UdpListener.class);

    static final int DATAGRAMS_PER_READ = 16;

    /** Maximum number of endpoints to try for one batch if sending fails because endpoints are dead. */
    private static final int MAX_ATTEMPTS = 4;

    private final Loop loop;
    private final FrontendRoutes frontend;
    private final InetSocket socket;
    private final EpollDatagramChannel channel;
    private final SharedReadBuffer readBuffer;
    private final ClientFlows flows;

    /** The flow whose datagrams are in the loop's batch. */
    private @Nullable UdpFlow batchFlow;

    private boolean batchStarted;
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

    /** Creates a listener with a new socket. Datagrams wait in the kernel until {@link #start}. */
    static UdpListener bind(Loop loop, FrontendRoutes frontend) throws IOException {
        IpAddress address = frontend.address.address();
        InetSocket socket = InetSocket.datagram(address.family());
        try {
            UdpBuffers.enlarge(socket);
            socket.setReusePort(true);
            if (loop.transparentSockets != null) {
                TransparentSockets.allow(socket, address.family());
                TransparentSockets.allowFragmentation(socket, address.family());
            }
            socket.bind(address, frontend.address.port());
            return new UdpListener(loop, frontend, socket);
        } catch (IOException | RuntimeException | Error e) {
            socket.closeQuietly();
            throw e;
        }
    }

    /**
     * Creates a listener with a socket of the old process and its flows. On failure, closes only the listener's socket.
     */
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

    /** Throws if another process is bound to the address. Checks this by binding without SO_REUSEPORT. */
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
            // Flows are adopted before the first datagram is read, because it may belong to one of them.
            flows.adoptInherited();
            ChannelFuture registered = group.register(channel);
            if (!registered.isSuccess() || !channel.isOpen()) {
                throw new IOException("epoll rejected the socket", registered.cause());
            }
            return channel;
        });
    }

    @Override
    public boolean isUsed() {
        return flows.hasFlows();
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
            // The channel has closed the descriptor, which was counted when the InetSocket was created.
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

    // ---- datagrams from clients

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
        DatagramPacket datagram = (DatagramPacket) message;
        try {
            if (!batchStarted) {
                batchStarted = true;
                nowNanos = loop.now();
            }
            received(datagram.sender(), datagram.content());
        } finally {
            datagram.release();
        }
    }

    @Override
    public void channelReadComplete(ChannelHandlerContext ctx) {
        sendBatch();
        batchStarted = false;
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
        if (!(cause instanceof IOException)) {
            log.error(
                    "internal error; datagrams to {} on event loop {} may be lost",
                    frontend.address,
                    loop.index,
                    cause);
        }
    }

    @SuppressWarnings("ReferenceEquality") // whether the routing was replaced, not whether it differs
    private void received(InetSocketAddress client, ByteBuf content) {
        FrontendRouting routing = frontend.routing;
        int length = content.readableBytes();
        UdpFlow flow = batchFlow;
        if (flow == null
                || !FlowTable.isSame(flow.client, client)
                || flow.routing != routing
                || !loop.batch.fits(flow.header().length + length)) {
            sendBatch();
            flow = flows.flowOf(client, routing, nowNanos);
        }
        if (flow == null) {
            return;
        }
        byte[] header = flow.header();
        if (header.length > 0) {
            if (header.length + length > DatagramBatch.MAX_BYTES) {
                flow.cells.increment(Counter.DATAGRAMS_TOO_LONG);
                // The flow may be new, and would otherwise have no timeout.
                flow.touch(nowNanos);
                return;
            }
            loop.buffer.put(loop.batch.end, header);
        }
        batchFlow = flow;
        readBuffer.copy(content, loop.buffer, loop.batch.end + header.length);
        loop.batch.add(header.length + length);
    }

    /**
     * Sends the batch of the current flow. If its endpoint is dead, opens a flow to another endpoint and sends the
     * batch to that endpoint.
     */
    private void sendBatch() {
        UdpFlow flow = batchFlow;
        batchFlow = null;
        try {
            for (int attempt = 1; flow != null; attempt++) {
                UdpFlow dead = flow;
                if (flow.forward(loop.bufferAddress, loop.batch, nowNanos)) {
                    break;
                }
                flow = attempt < MAX_ATTEMPTS ? flows.open(flow.client, frontend.routing, dead.target, nowNanos) : null;
                if (flow != null && !Arrays.equals(flow.header(), dead.header())) {
                    // The policy has changed, and the batch has the old header.
                    flow.cells.add(Counter.DATAGRAMS_DROPPED, loop.batch.datagrams);
                    flow.touch(nowNanos);
                    break;
                }
            }
        } catch (RuntimeException | Error fault) {
            if (flow != null) {
                flow.failInternally(fault);
            }
        } finally {
            loop.batch.clear();
        }
    }
}
