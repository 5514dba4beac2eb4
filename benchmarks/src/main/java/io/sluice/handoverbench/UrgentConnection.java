package io.sluice.handoverbench;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.buffer.UnpooledByteBufAllocator;
import io.sluice.handoverbench.Faults.Fault;
import io.sluice.handoverbench.Opening.Kind;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.util.concurrent.TimeUnit;

/**
 * A connection on which every message contains an urgent byte. Sluice forwards urgent bytes as part of the stream, so
 * none may be missing. Uses a blocking socket, because Netty cannot send urgent data.
 */
final class UrgentConnection {
    private static final long NUMBER = 3_000_000;
    private static final int PART_BYTES = 300;
    private static final int PAUSE_MILLIS = 10;
    private static final int TIMEOUT_MILLIS = 15_000;

    private final Socket socket;
    private final Faults faults;
    private final Thread thread = new Thread(this::run, "urgent");
    private volatile boolean running = true;

    UrgentConnection(LoadPlan plan, Faults faults) throws IOException {
        this.faults = faults;
        socket = new Socket(
                InetAddress.getByName(plan.frontend()),
                plan.port(),
                InetAddress.getByName(plan.clients().get(0)),
                0);
        socket.setSoTimeout(TIMEOUT_MILLIS);
        socket.setTcpNoDelay(true);
        thread.setDaemon(true);
    }

    void start() {
        thread.start();
    }

    private void run() {
        ByteStream toEndpoint = ByteStream.fromClient(NUMBER);
        ByteStream fromEndpoint = ByteStream.fromEndpoint(NUMBER);
        try (socket) {
            OutputStream out = socket.getOutputStream();
            InputStream in = socket.getInputStream();
            Opening opening = new Opening(Kind.REPLY, NUMBER, 0);
            out.write(bytes(opening.encode(UnpooledByteBufAllocator.DEFAULT)));
            while (running) {
                out.write(bytes(toEndpoint.next(PART_BYTES)));
                socket.sendUrgentData(toEndpoint.next(1).getByte(0));
                out.write(bytes(toEndpoint.next(PART_BYTES)));
                byte[] reply = in.readNBytes(2 * PART_BYTES + 1);
                if (reply.length < 2 * PART_BYTES + 1) {
                    throw new IOException("unexpected FIN");
                }
                if (fromEndpoint.match(Unpooled.wrappedBuffer(reply)) < reply.length) {
                    faults.add(Fault.BYTES, "connection with urgent data: after " + fromEndpoint.position() + " bytes");
                    return;
                }
                TimeUnit.MILLISECONDS.sleep(PAUSE_MILLIS);
            }
        } catch (IOException | InterruptedException e) {
            faults.add(Fault.RESET, "connection with urgent data: %s".formatted(e.getMessage()));
        }
    }

    private static byte[] bytes(ByteBuf buffer) {
        byte[] bytes = new byte[buffer.readableBytes()];
        buffer.readBytes(bytes);
        return bytes;
    }

    void finish() throws InterruptedException {
        running = false;
        thread.join(TIMEOUT_MILLIS);
    }
}
