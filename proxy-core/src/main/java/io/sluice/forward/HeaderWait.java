package io.sluice.forward;

import io.sluice.proxyprotocol.ProxiedAddresses;
import io.sluice.proxyprotocol.ProxyHeaderReader;
import io.sluice.proxyprotocol.ProxyHeaderReader.Result;
import io.sluice.socket.InetSocket;
import java.io.IOException;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** Reads the PROXY protocol header of one connection. Used only by the loop's thread. */
final class HeaderWait {
    static final byte[] NOTHING = {};

    /** How long the header of a connection may take to arrive. */
    static final long TIMEOUT_NANOS = TimeUnit.SECONDS.toNanos(5);

    /** A read may contain the start of the client's data, which is kept until the connection is established. */
    private static final int READ_BYTES = ProxyHeaderReader.MAX_BYTES;

    private final ProxyHeaderReader reader = new ProxyHeaderReader();
    private byte[] payload = NOTHING;

    /**
     * Reads until the header is complete or no more bytes are available. A stream that ends before the header is
     * complete is malformed.
     */
    Result read(InetSocket socket, Loop loop) throws IOException {
        while (true) {
            int length = socket.read(loop.bufferAddress, READ_BYTES);
            if (length <= 0) {
                return length == 0 ? Result.NEED_MORE : Result.MALFORMED;
            }
            Result result = reader.feed(loop.buffer, 0, length);
            if (result == Result.COMPLETE && reader.consumed() < length) {
                payload = new byte[length - reader.consumed()];
                loop.buffer.get(reader.consumed(), payload);
            }
            if (result != Result.NEED_MORE) {
                return result;
            }
        }
    }

    /** The client's data that arrived with the header; empty if there was none. */
    byte[] payload() {
        return payload;
    }

    /** The addresses in the complete header; null if it has none. */
    @Nullable
    ProxiedAddresses addresses() {
        return reader.addresses();
    }
}
