package io.sluice.proxyprotocol;

import java.nio.ByteBuffer;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Reads the PROXY header at the start of one TCP connection, however its bytes are split. Accepts version 1 and 2.
 *
 * <p>Copies the header, at most {@link #MAX_BYTES}, and looks at each byte once until the header is complete. The first
 * byte that cannot belong to a header is reported immediately, so a peer without PROXY protocol does not wait for a
 * timeout.
 */
public final class ProxyHeaderReader {
    /** The maximum length of a header with all TLVs. A longer header is malformed. */
    public static final int MAX_BYTES = 4096;

    /** The state of the header after some bytes. */
    public enum Result {
        NEED_MORE,
        COMPLETE,
        MALFORMED
    }

    /**
     * The header so far, in an array that is large enough for any header of version 1. The length of a header of version
     * 2 is known after its fixed part; then the array has exactly this length.
     */
    private byte[] header = new byte[TextHeader.MAX_BYTES];

    private int length;
    private int consumed;
    private Result result = Result.NEED_MORE;
    private @Nullable ProxiedAddresses addresses;

    /**
     * Reads the next bytes of the connection. Must not be called after another result than {@code NEED_MORE}.
     *
     * @param buffer its position and limit are neither used nor changed
     * @param from the index of the first byte in the buffer
     * @param to the index after the last byte
     */
    public Result feed(ByteBuffer buffer, int from, int to) {
        if (result != Result.NEED_MORE) {
            throw new IllegalStateException("the header is already " + result);
        }
        int at = from;
        while (at < to && result == Result.NEED_MORE) {
            if (length < BinaryHeader.FIXED_BYTES || isText()) {
                header[length++] = buffer.get(at++);
                result = isText() ? afterTextByte() : afterFixedByte();
            } else {
                int bytes = Math.min(to - at, header.length - length);
                buffer.get(at, header, length, bytes);
                at += bytes;
                length += bytes;
                result = afterBinaryBytes();
            }
        }
        consumed = at - from;
        return result;
    }

    /** The number of bytes of the last call of {@link #feed} that belong to the header. The rest is payload. */
    public int consumed() {
        return consumed;
    }

    /**
     * The addresses in a complete header. Null if the header has none of a TCP connection: the command {@code LOCAL}, or
     * another or unknown transport or family. The peer is the client then.
     */
    public @Nullable ProxiedAddresses addresses() {
        return addresses;
    }

    private boolean isText() {
        return length > 0 && header[0] == TextHeader.START[0];
    }

    private Result afterTextByte() {
        int last = length - 1;
        if (last < TextHeader.START.length) {
            return header[last] == TextHeader.START[last] ? Result.NEED_MORE : Result.MALFORMED;
        }
        if (header[last] == '\n' || header[last - 1] == '\r') {
            return decoded(TextHeader.decode(header, length));
        }
        return length < TextHeader.MAX_BYTES ? Result.NEED_MORE : Result.MALFORMED;
    }

    private Result afterFixedByte() {
        if (!BinaryHeader.isValid(header, length - 1)) {
            return Result.MALFORMED;
        }
        if (length < BinaryHeader.FIXED_BYTES) {
            return Result.NEED_MORE;
        }
        int total = BinaryHeader.length(header);
        if (total < 0 || total > MAX_BYTES) {
            return Result.MALFORMED;
        }
        header = Arrays.copyOf(header, total);
        return afterBinaryBytes();
    }

    private Result afterBinaryBytes() {
        return length < header.length ? Result.NEED_MORE : decoded(BinaryHeader.decode(header));
    }

    private Result decoded(DecodedHeader decoded) {
        addresses = decoded.addresses();
        return decoded.isValid() ? Result.COMPLETE : Result.MALFORMED;
    }
}
