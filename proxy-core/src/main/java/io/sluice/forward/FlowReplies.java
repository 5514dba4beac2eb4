package io.sluice.forward;

import io.sluice.socket.DatagramBatch;
import io.sluice.socket.InetSocket;
import java.io.IOException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Forwards the replies of endpoints to the clients of one UDP listener. Used only by the loop's thread. */
final class FlowReplies {
    private static final Logger log = LoggerFactory.getLogger(FlowReplies.class);

    private static final int REPLIES_PER_EVENT = 32;

    private final Loop loop;
    /** The frontend's socket, which sends replies to clients. */
    private final InetSocket frontendSocket;

    FlowReplies(Loop loop, InetSocket frontendSocket) {
        this.loop = loop;
        this.frontendSocket = frontendSocket;
    }

    /** Forwards available replies. Consecutive replies of equal size are sent in one system call. */
    void forward(UdpFlow flow) {
        long nowNanos = loop.now();
        DatagramBatch batch = loop.batch;
        batch.clear();
        try {
            for (int i = 0; i < REPLIES_PER_EVENT; i++) {
                if (!batch.hasRoom(Loop.BUFFER_BYTES)) {
                    sendReplies(flow, batch, nowNanos);
                    batch.clear();
                }
                int length = flow.socket.read(loop.bufferAddress + batch.end, InetSocket.DATAGRAM_BYTES);
                if (length == 0) {
                    break;
                }
                // For an empty datagram, recv returns 0, which Netty reports as end of stream (-1).
                length = Math.max(length, 0);
                if (!batch.fits(length)) {
                    sendReplies(flow, batch, nowNanos);
                    batch.next();
                }
                batch.add(length);
                flow.traffic.replies++;
                if (flow.traffic.replies == flow.traffic.requests) {
                    // Probably no more replies; if there are, epoll reports them at once (level-triggered).
                    break;
                }
            }
            sendReplies(flow, batch, nowNanos);
        } catch (IOException e) {
            sendReplies(flow, batch, nowNanos);
            flow.endpointFailed(e, 1);
        }
    }

    private void sendReplies(UdpFlow flow, DatagramBatch batch, long nowNanos) {
        if (batch.datagrams > 0) {
            flow.replied(batch, nowNanos);
            flow.traffic.toClient(batch, sendToClient(flow, batch));
        }
    }

    /** Sends a batch to the client; returns the number of datagrams that the socket accepted. */
    private int sendToClient(UdpFlow flow, DatagramBatch batch) {
        try {
            return frontendSocket.sendAll(loop.bufferAddress, batch, flow.client);
        } catch (IOException e) {
            log.trace("{}: {}", flow, e.getMessage());
            return 0;
        }
    }
}
