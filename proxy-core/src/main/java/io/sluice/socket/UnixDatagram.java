package io.sluice.socket;

import io.netty.channel.ChannelException;
import io.netty.channel.epoll.Epoll;
import io.netty.channel.unix.Socket;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** Sends single datagrams to Unix sockets, which the JDK does not support. */
public final class UnixDatagram {
    /** The kernel accepts no longer addresses. */
    private static final int MAX_ADDRESS_BYTES = 107;

    private UnixDatagram() {}

    /**
     * Sends a datagram without waiting.
     *
     * @param address absolute path of the socket, or {@code @} and the name of an abstract socket
     * @throws IOException if no process listens at the address, or it has not received earlier datagrams yet
     */
    public static void send(String address, String message) throws IOException {
        ByteBuffer content = StandardCharsets.UTF_8.encode(message);
        ByteBuffer direct = ByteBuffer.allocateDirect(content.remaining()).put(content);
        Socket socket = open();
        try {
            if (socket.sendToDomainSocket(direct, 0, direct.position(), encoded(address)) != direct.position()) {
                throw new IOException("the receive queue of the socket is full");
            }
        } catch (FileNotFoundException e) {
            // Netty throws this exception without a message.
            throw new IOException("no such socket", e);
        } finally {
            socket.close();
        }
    }

    private static Socket open() throws IOException {
        // Loads the native library.
        Epoll.ensureAvailability();
        try {
            return Socket.newSocketDomainDgram();
        } catch (ChannelException e) {
            throw e.getCause() instanceof IOException cause ? cause : new IOException(e);
        }
    }

    /** Returns the address as in {@code struct sockaddr_un}, where an abstract address starts with a zero byte. */
    private static byte[] encoded(String address) throws IOException {
        byte[] bytes = address.getBytes(StandardCharsets.UTF_8);
        if (bytes.length > MAX_ADDRESS_BYTES) {
            throw new IOException(
                    "the address has " + bytes.length + " bytes; at most " + MAX_ADDRESS_BYTES + " are possible");
        }
        if (address.startsWith("@")) {
            bytes[0] = 0;
        }
        return bytes;
    }
}
