package io.sluice.forward;

import io.netty.channel.IoEvent;
import io.netty.channel.IoRegistration;
import io.netty.channel.epoll.EpollIoHandle;
import io.netty.channel.epoll.EpollIoOps;
import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import java.io.IOException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The socket through which a flow reaches its endpoint: connected, so that only the endpoint can answer and its ICMP
 * errors are told. It may serve several flows, one after the other. Belongs to its loop.
 */
final class FlowSocket extends Timed implements EpollIoHandle {
    private static final Logger log = LoggerFactory.getLogger(FlowSocket.class);

    /**
     * Between which addresses it is: flows between the same can have it in turn.
     *
     * @param source the client's address that the endpoint sees; null for this node's
     */
    record Path(Endpoint endpoint, @Nullable IpAddress source) {}

    final InetSocket socket;
    /** Null if that is not known, since a predecessor opened it. */
    final @Nullable Path path;

    private final Loop loop;
    private final IoRegistration registration;
    private @Nullable UdpFlow flow;
    private boolean widened;
    private boolean closing;

    private FlowSocket(Loop loop, InetSocket socket, @Nullable Path path) throws IOException {
        this.loop = loop;
        this.socket = socket;
        this.path = path;
        registration = loop.register(this, EpollIoOps.EPOLLIN);
    }

    static FlowSocket open(Loop loop, Target target, Path path) throws IOException {
        InetSocket socket = InetSocket.datagram(target.endpoint.address());
        try {
            if (path.source() != null) {
                Transparency.assume(socket, path.source());
            }
            socket.connect(target.socketAddress());
            return new FlowSocket(loop, socket, path);
        } catch (IOException | RuntimeException | Error e) {
            socket.closeQuietly();
            throw e;
        }
    }

    /** A predecessor's, which is connected. */
    static FlowSocket adopt(Loop loop, InetSocket socket) throws IOException {
        return new FlowSocket(loop, socket, null);
    }

    /** Whose answers come here from now on; null for nobody's. */
    void serve(@Nullable UdpFlow next) {
        flow = next;
    }

    /** Asks for larger buffers, once. */
    void widen() {
        if (!widened) {
            widened = true;
            socket.widen();
        }
    }

    @Override
    public void handle(IoRegistration registration, IoEvent ioEvent) {
        UdpFlow served = flow;
        if (closing) {
            // The event was at hand already.
            return;
        }
        if (served == null) {
            // For nobody.
            loop.spareSockets.spoke(this, loop.now());
            return;
        }
        try {
            served.answerAll();
        } catch (RuntimeException | Error fault) {
            // Thrown on, it would stop the loop for a second.
            served.broke(fault);
        }
    }

    /** Whether nothing waits in it, nor an error. */
    boolean isSilent() {
        try {
            return socket.read(loop.bufferAddress, UdpListener.DATAGRAM_BYTES) == 0;
        } catch (IOException e) {
            log.trace("a spare socket to {}: {}", path, e.getMessage());
            return false;
        }
    }

    /** Stops to watch it, but leaves it open for somebody else. */
    int detach() {
        registration.cancel();
        Descriptors.closed();
        return socket.intValue();
    }

    /** To be called once. */
    void end() {
        assert !closing;
        closing = true;
        loop.closeLater(socket, registration);
    }

    @Override
    void expire(TimeoutQueue waitedIn, long nowNanos) {
        loop.spareSockets.expire(this, waitedIn);
    }

    /** While it is spare. */
    @Override
    void broke(Throwable fault) {
        log.error("internal error; closing a spare socket to {}", path, fault);
        if (!closing) {
            end();
        }
    }

    /** Called by Netty when the loop ends. */
    @Override
    public void close() {
        UdpFlow served = flow;
        if (served != null) {
            served.end();
        } else if (!closing) {
            leaveQueue();
            end();
        }
    }

    @Override
    public InetSocket fd() {
        return socket;
    }
}
