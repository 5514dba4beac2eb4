package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.TrafficPolicy.ProxyHeader;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;

/**
 * A PROXY header that an endpoint received, decoded independently of the code under test.
 *
 * @param source address and port of the client, with a space between them
 */
record ReceivedHeader(ProxyHeader version, boolean datagram, String source, String destination) {
    private static final byte[] SIGNATURE = "\r\n\r\n\0\r\nQUIT\n".getBytes(StandardCharsets.US_ASCII);

    /** The header that tells the endpoint about a client's connection. */
    static ReceivedHeader of(ProxyHeader version, Socket client) {
        return new ReceivedHeader(
                version,
                false,
                text(client.getLocalAddress(), client.getLocalPort()),
                text(client.getInetAddress(), client.getPort()));
    }

    static String text(InetAddress address, int port) {
        return address.getHostAddress() + " " + port;
    }

    /** Reads exactly the header. */
    static ReceivedHeader read(InputStream in) throws IOException {
        DataInputStream data = new DataInputStream(in);
        byte first = data.readByte();
        return first == 'P' ? readText(data) : readBinary(first, data);
    }

    private static ReceivedHeader readText(DataInputStream in) throws IOException {
        StringBuilder line = new StringBuilder("P");
        while (line.lastIndexOf("\r\n") < 0) {
            line.append((char) in.readByte());
        }
        String[] fields = line.toString().trim().split(" ");
        assertThat(fields).hasSize(6).startsWith("PROXY");
        assertThat(fields[1]).isEqualTo(fields[2].contains(":") ? "TCP6" : "TCP4");
        return new ReceivedHeader(
                ProxyHeader.V1,
                false,
                text(InetAddress.getByName(fields[2]), Integer.parseInt(fields[4])),
                text(InetAddress.getByName(fields[3]), Integer.parseInt(fields[5])));
    }

    private static ReceivedHeader readBinary(byte first, DataInputStream in) throws IOException {
        byte[] signature = new byte[SIGNATURE.length];
        signature[0] = first;
        in.readFully(signature, 1, signature.length - 1);
        assertThat(signature).isEqualTo(SIGNATURE);
        assertThat(in.readUnsignedByte()).as("version and command").isEqualTo(0x21);
        int protocol = in.readUnsignedByte();
        int addressBytes = protocol >> 4 == 1 ? 4 : 16;
        assertThat(in.readUnsignedShort()).as("length").isEqualTo(2 * addressBytes + 4);
        InetAddress source = InetAddress.getByAddress(in.readNBytes(addressBytes));
        InetAddress destination = InetAddress.getByAddress(in.readNBytes(addressBytes));
        return new ReceivedHeader(
                ProxyHeader.V2,
                (protocol & 0xf) == 2,
                text(source, in.readUnsignedShort()),
                text(destination, in.readUnsignedShort()));
    }
}
