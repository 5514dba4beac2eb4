package io.sluice.handoverbench;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import java.io.IOException;

/**
 * The first bytes of a connection, which tell the endpoint what to do with it.
 *
 * @param connection selects the streams of both directions
 * @param argument depends on the kind
 */
record Opening(Kind kind, long connection, long argument) {
    static final int BYTES = 24;
    /** Read rate of a connection that is not limited. */
    static final long UNLIMITED = Long.MAX_VALUE;

    private static final int MAGIC = 0x51_1c_e0_01;

    /** What the endpoint does. */
    enum Kind {
        /** Replies to n bytes with n bytes. The argument is the number of bytes after which it closes; 0: never. */
        REPLY('r'),
        /** Sends as fast as it can until the client sends FIN. */
        SOURCE('o'),
        /** Reads; the argument is the rate in bytes per second. With 0, reads nothing until it is released. */
        SINK('i'),
        /** Sends a message at intervals until it is released, although the client has sent FIN. */
        MESSAGES('m'),
        /** Sends FIN immediately and reads until the client sends FIN. */
        FIN('f');

        private final int code;

        Kind(char code) {
            this.code = code;
        }

        private static Kind of(int code) throws IOException {
            for (Kind kind : values()) {
                if (kind.code == code) {
                    return kind;
                }
            }
            throw new IOException("unknown kind of connection: %d".formatted(code));
        }
    }

    ByteBuf encode(ByteBufAllocator allocator) {
        return allocator
                .directBuffer(BYTES)
                .writeInt(MAGIC)
                .writeInt(kind.code)
                .writeLong(connection)
                .writeLong(argument);
    }

    static Opening decode(ByteBuf bytes) throws IOException {
        int magic = bytes.readInt();
        if (magic != MAGIC) {
            throw new IOException("first bytes of a connection are wrong: %08x".formatted(magic));
        }
        return new Opening(Kind.of(bytes.readInt()), bytes.readLong(), bytes.readLong());
    }
}
