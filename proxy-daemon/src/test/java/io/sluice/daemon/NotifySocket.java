package io.sluice.daemon;

import io.netty.channel.epoll.Epoll;
import io.netty.channel.unix.DomainDatagramSocketAddress;
import io.netty.channel.unix.DomainSocketAddress;
import io.netty.channel.unix.Socket;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** A Unix datagram socket that receives notifications, as that of systemd. */
final class NotifySocket implements AutoCloseable {
    private final Socket socket;
    private final ByteBuffer buffer = ByteBuffer.allocateDirect(4096);
    private final List<String> messages = new ArrayList<>();

    /** @param address path, or {@code @} and the name of an abstract socket */
    NotifySocket(String address) throws IOException {
        Epoll.ensureAvailability();
        socket = Socket.newSocketDomainDgram();
        socket.bind(new DomainSocketAddress(address.replaceFirst("^@", "\0")));
    }

    /** Returns all messages so far. */
    List<String> messages() throws IOException {
        buffer.clear();
        DomainDatagramSocketAddress next = socket.recvFromDomainSocket(buffer, 0, buffer.capacity());
        while (next != null) {
            byte[] bytes = new byte[next.receivedAmount()];
            buffer.get(0, bytes);
            messages.add(new String(bytes, StandardCharsets.UTF_8));
            next = socket.recvFromDomainSocket(buffer, 0, buffer.capacity());
        }
        return List.copyOf(messages);
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }
}
