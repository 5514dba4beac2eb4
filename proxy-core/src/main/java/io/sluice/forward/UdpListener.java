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
import io.sluice.balance.Rotation;
import io.sluice.balance.Routing;
import io.sluice.balance.Target;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.socket.Batch;
import io.sluice.socket.Descriptors;
import io.sluice.socket.Errno;
import io.sluice.socket.InetSocket;
import io.sluice.stats.Cells;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The UDP socket of one frontend on one loop, and the flows of its clients. Everything a client gets leaves through
 * this socket, so answers come from the address that was asked.
 *
 * <p>Datagrams are read many at a time through Netty's channel. They are sent on the bare socket: the channel's batched
 * write loses count when one of the datagrams is empty.
 */
public final class UdpListener extends ChannelInboundHandlerAdapter implements Listener {
    private static final Logger log = LoggerFactory.getLogger(UdpListener.class);

    static final int DATAGRAMS_PER_READ = 16;

    /** How many endpoints are tried when the kernel refuses at once. */
    private static final int MOST_ATTEMPTS = 4;

    private final Loop loop;
    private final BoundFrontend frontend;
    private final InetSocket socket;
    private final EpollDatagramChannel channel;
    private final OneBuffer readBuffer;
    private final FlowTable<UdpFlow> flows = new FlowTable<>();
    /** How many these are, for the control side. */
    private volatile int open;
    /** Those of a predecessor, until the loop has taken them over. */
    private List<HandOver.OpenFlow> inherited = List.of();

    /** Whose datagrams are in the loop's batch. */
    private @Nullable UdpFlow gathered;

    private boolean inBatch;
    private long nowNanos;

    private UdpListener(Loop loop, BoundFrontend frontend, InetSocket socket) {
        this.loop = loop;
        this.frontend = frontend;
        this.socket = socket;
        this.channel = new EpollDatagramChannel(socket.intValue());
        EpollDatagramChannelConfig config = channel.config();
        this.readBuffer = loop.datagramBuffer();
        config.setAllocator(readBuffer);
        config.setMaxDatagramPayloadSize(InetSocket.DATAGRAM_BYTES);
        config.setRecvByteBufAllocator(new FixedRecvByteBufAllocator(InetSocket.DATAGRAM_BYTES * DATAGRAMS_PER_READ));
        channel.pipeline().addLast(this);
    }

    /** Binds; datagrams wait in the kernel until {@link #start}. Control side. */
    static UdpListener bind(Loop loop, BoundFrontend frontend) throws IOException {
        IpAddress address = frontend.address.address();
        InetSocket socket = InetSocket.datagram(address.family());
        try {
            socket.widen();
            socket.setReusePort(true);
            if (loop.transparency != null) {
                Transparency.allow(socket, address.family());
                Transparency.cutToPath(socket, address.family());
            }
            socket.bind(address, frontend.address.port());
            return new UdpListener(loop, frontend, socket);
        } catch (IOException | RuntimeException | Error e) {
            socket.closeQuietly();
            throw e;
        }
    }

    /** A bound socket of a predecessor, and its flows. If this fails the socket is closed, the flows are not. */
    static UdpListener adopt(Loop loop, BoundFrontend frontend, HandOver.OpenSocket inherited) throws IOException {
        InetSocket socket = InetSocket.adopt(inherited.descriptor());
        try {
            UdpListener listener = new UdpListener(loop, frontend, socket);
            listener.inherited = inherited.flows();
            listener.open = inherited.flows().size();
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
                Transparency.allow(socket, address.family());
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
            adoptFlows();
            ChannelFuture registered = group.register(channel);
            if (!registered.isSuccess() || !channel.isOpen()) {
                throw new IOException("epoll does not take the socket", registered.cause());
            }
            return channel;
        });
    }

    @Override
    public boolean isUsed() {
        return open > 0;
    }

    @Override
    public Future<?> stop() {
        return loop.executor.submit(this::end);
    }

    private void end() {
        try {
            flows.flows().forEach(UdpFlow::end);
            // Those of a listener that never started.
            HandOver.close(inherited);
            inherited = List.of();
        } finally {
            channel.unsafe().close(channel.voidPromise());
            // The channel has closed the descriptor that our own socket object counted.
            Descriptors.closed();
        }
    }

    @Override
    public Future<HandOver.OpenSocket> detach() {
        Promise<HandOver.OpenSocket> detached = loop.executor.newPromise();
        channel.deregister().addListener(done -> {
            try {
                detached.setSuccess(detachFlows());
            } catch (RuntimeException | Error fault) {
                detached.setFailure(fault);
                end();
            }
        });
        return detached;
    }

    private HandOver.OpenSocket detachFlows() {
        List<HandOver.OpenFlow> detached = new ArrayList<>(flows.size());
        try {
            for (UdpFlow flow : flows.flows()) {
                if (FlowTable.scopeId(flow.client.getAddress()) == 0) {
                    detached.add(flow.detach());
                } else {
                    // A successor is not told the interface; the client's next datagram opens a new flow there.
                    flow.end();
                }
            }
        } catch (RuntimeException | Error e) {
            HandOver.close(detached);
            throw e;
        }
        Descriptors.closed();
        return new HandOver.OpenSocket(socket.intValue(), detached);
    }

    private void adoptFlows() {
        nowNanos = loop.now();
        for (HandOver.OpenFlow flow : inherited) {
            try {
                adoptFlow(flow);
            } catch (IOException | RuntimeException | Error e) {
                log.error("closing an inherited flow of {} to {}", flow.client(), frontend.address, e);
            }
        }
        inherited = List.of();
        open = flows.size();
    }

    private void adoptFlow(HandOver.OpenFlow flow) throws IOException {
        InetSocket back = InetSocket.adopt(flow.descriptor());
        try {
            Routing routing = frontend.routing;
            if (!routing.keepsFlowOn(flow.endpoint())) {
                back.closeQuietly();
                return;
            }
            Rotation rotation = routing.rotationFor(flow.client());
            Target known = rotation == null ? null : rotation.find(flow.endpoint());
            Target target = known == null ? new Target(flow.endpoint()) : known;
            InetSocketAddress client = flow.client().toSocketAddress(flow.clientPort());
            add(UdpFlow.adopt(loop, this, routing, client, target, back, flow, nowNanos));
        } catch (IOException | RuntimeException | Error e) {
            back.closeQuietly();
            throw e;
        }
    }

    private UdpFlow add(UdpFlow flow) {
        try {
            flows.put(flow.client, flow);
            open = flows.size();
            return flow;
        } catch (RuntimeException | Error e) {
            flow.end();
            throw e;
        }
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
        Routing routing = frontend.routing;
        int length = content.readableBytes();
        UdpFlow flow = gathered;
        if (flow == null
                || !FlowTable.isSame(flow.client, client)
                || flow.routing != routing
                || !loop.batch.takes(length)) {
            sendGathered();
            flow = flowOf(client, routing);
        }
        if (flow != null) {
            gathered = flow;
            readBuffer.copy(content, loop.buffer, loop.batch.end);
            loop.batch.add(length);
        }
    }

    /** The one there is, if it may stay, or a new one; null if the client may not be served or nothing is left for it. */
    @SuppressWarnings("ReferenceEquality") // as above
    private @Nullable UdpFlow flowOf(InetSocketAddress client, Routing routing) {
        UdpFlow flow = flows.get(client);
        if (flow != null && flow.routing != routing) {
            flow = rerouted(flow, routing);
        }
        return flow == null ? open(client, routing, null) : flow;
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
                flow = attempt < MOST_ATTEMPTS ? open(flow.client, frontend.routing, dead.target) : null;
            }
        } catch (RuntimeException | Error fault) {
            if (flow != null) {
                flow.broke(fault);
            }
        } finally {
            loop.batch.clear();
        }
    }

    /** The flow if it may stay where it is by the new routing; null if it was ended. */
    private @Nullable UdpFlow rerouted(UdpFlow flow, Routing routing) {
        if (flow.routing.service() == routing.service() && routing.keepsFlowOn(flow.target.endpoint)) {
            flow.routing = routing;
            return flow;
        }
        flow.cells.increment(Counter.FLOWS_MOVED);
        flow.end();
        return null;
    }

    private @Nullable UdpFlow open(InetSocketAddress client, Routing routing, @Nullable Target avoided) {
        Cells cells = routing.service().stats.cells(loop.index);
        IpAddress clientAddress = IpAddress.of(client.getAddress());
        Rotation rotation = routing.rotationFor(clientAddress);
        if (rotation == null) {
            cells.increment(Counter.DATAGRAMS_REFUSED);
            return null;
        }
        if (!isWithinShare(clientAddress)) {
            cells.increment(Counter.DATAGRAMS_OVER_CLIENT_SHARE);
            loop.shortage.noteShare(clientAddress, loop.clients.percent());
            return null;
        }
        Target target = avoided == null
                ? routing.pick(clientAddress, rotation, nowNanos)
                : anotherTarget(clientAddress, routing, rotation, avoided);
        boolean room = !loop.flows.full() && Descriptors.roomFor(1);
        if (!room && !loop.evictIdlestFlow()) {
            cells.increment(Counter.DATAGRAMS_DROPPED);
            return null;
        }
        try {
            IpAddress source = loop.sourceOf(clientAddress, target.endpoint, routing, cells);
            UdpFlow flow = add(UdpFlow.open(loop, this, routing, client, target, source, nowNanos));
            cells.increment(Counter.FLOWS_OPENED);
            return flow;
        } catch (IOException e) {
            Shortage.Of lacking = Shortage.Of.errno(Errno.of(e));
            if (lacking != null) {
                loop.shortage.note(lacking);
            }
            cells.increment(Counter.DATAGRAMS_DROPPED);
            return null;
        }
    }

    private Target anotherTarget(IpAddress client, Routing routing, Rotation rotation, Target avoided) {
        Target target = rotation.next(nowNanos);
        if (target.endpoint.equals(avoided.endpoint)) {
            target = rotation.next(nowNanos);
        }
        if (routing.keepsClients()) {
            routing.service().affinityTable.hold(routing.service(), client, target.endpoint, nowNanos);
        }
        return target;
    }

    /** Finished flows end first, as they do anyway where it gets full. */
    private boolean isWithinShare(IpAddress client) {
        if (loop.clients.admitsFlow(client)) {
            return true;
        }
        loop.endBriefFlows(nowNanos);
        return loop.clients.admitsFlow(client);
    }

    // ---- for the flows

    /** Sends from the loop's buffer; how many the socket took. */
    int answer(InetSocketAddress client, Batch batch) {
        try {
            return socket.sendAll(loop.bufferAddress, batch, client);
        } catch (IOException e) {
            log.trace("{} to {}: {}", frontend.address, client, e.getMessage());
            return 0;
        }
    }

    void ended(UdpFlow flow) {
        flows.remove(flow.client, flow);
        open = flows.size();
    }
}
