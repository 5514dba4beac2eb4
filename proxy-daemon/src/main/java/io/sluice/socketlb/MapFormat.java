package io.sluice.socketlb;

import io.sluice.model.Endpoint;
import io.sluice.model.Family;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * The format of the keys and values of the maps: the structs of {@code socketlb.bpf.c}. Numbers are in the byte order of
 * this machine, addresses and ports in network byte order.
 */
final class MapFormat {
    /** Size of {@code struct address}. */
    static final int ADDRESS = 20;
    /** Size of {@code struct traffic}, of one CPU. */
    static final int TRAFFIC = 32;
    /** Size of {@code struct event}. */
    static final int EVENT = 48;

    private static final int PAIR = 2 * ADDRESS;
    private static final int FRONTEND = 24;
    private static final int SET_INDEX = 16;
    private static final int SET_ENTRY = 48;
    private static final int IP = 16;
    /** Offset of an IPv4 address in its IPv4-mapped form. */
    private static final int MAPPED = 12;

    private MapFormat() {}

    /**
     * The value of a frontend: {@code struct frontend}.
     *
     * @param set number of the set of endpoints
     * @param count number of endpoints in the set
     * @param offset added to the cursor
     * @param affinitySeconds timeout of session affinity; 0 for none
     */
    record FrontendEntry(long set, int count, int offset, int affinitySeconds) {
        static FrontendEntry of(ByteBuffer value) {
            return new FrontendEntry(value.getLong(0), value.getInt(8), value.getInt(12), value.getInt(16));
        }

        byte[] toBytes() {
            byte[] array = new byte[FRONTEND];
            view(array).putLong(set).putInt(count).putInt(offset).putInt(affinitySeconds);
            return array;
        }

        /** The index in the set of the endpoint whose turn it is at a cursor. */
        int index(long cursor) {
            return (int) Long.remainderUnsigned(cursor + Integer.toUnsignedLong(offset), count);
        }
    }

    /** A frontend and one of its endpoints: {@code struct pair}. */
    record Pair(FrontendAddress frontend, Endpoint endpoint) {
        static Pair of(ByteBuffer bytes, int at) {
            return new Pair(frontendAt(bytes, at), endpointAt(bytes, at + ADDRESS));
        }

        byte[] toBytes() {
            byte[] array = new byte[PAIR];
            ByteBuffer bytes = view(array);
            put(bytes, frontend.address(), frontend.port());
            put(bytes, endpoint.address(), endpoint.port());
            return array;
        }
    }

    static byte[] address(FrontendAddress frontend) {
        byte[] array = new byte[ADDRESS];
        put(view(array), frontend.address(), frontend.port());
        return array;
    }

    static byte[] setIndex(long set, int index) {
        byte[] array = new byte[SET_INDEX];
        view(array).putLong(set).putInt(index);
        return array;
    }

    static byte[] setEntry(long set, Endpoint endpoint, FrontendAddress frontend) {
        byte[] array = new byte[SET_ENTRY];
        ByteBuffer bytes = view(array).putLong(set);
        put(bytes, endpoint.address(), endpoint.port());
        put(bytes, frontend.address(), frontend.port());
        return array;
    }

    /** The endpoint of a {@code struct set_entry} or {@code struct affinity_entry}. */
    static Endpoint entryEndpoint(ByteBuffer value) {
        return endpointAt(value, Long.BYTES);
    }

    static byte[] cursor(long position) {
        byte[] array = new byte[Long.BYTES];
        view(array).putLong(position);
        return array;
    }

    static FrontendAddress frontendAt(ByteBuffer bytes, int at) {
        return new FrontendAddress(Protocol.TCP, ipAt(bytes, at), portAt(bytes, at));
    }

    static Endpoint endpointAt(ByteBuffer bytes, int at) {
        return new Endpoint(ipAt(bytes, at), portAt(bytes, at));
    }

    static IpAddress ipAt(ByteBuffer bytes, int at) {
        byte[] ip = new byte[IP];
        bytes.get(at, ip);
        return IpAddress.of(ip, 0, IP);
    }

    static int portAt(ByteBuffer bytes, int at) {
        return Byte.toUnsignedInt(bytes.get(at + IP)) << 8 | Byte.toUnsignedInt(bytes.get(at + IP + 1));
    }

    private static void put(ByteBuffer to, IpAddress address, int port) {
        byte[] ip = new byte[IP];
        byte[] own = address.toBytes();
        if (address.family() == Family.IPV4) {
            ip[MAPPED - 2] = (byte) 0xff;
            ip[MAPPED - 1] = (byte) 0xff;
        }
        System.arraycopy(own, 0, ip, IP - own.length, own.length);
        to.put(ip).put((byte) (port >> 8)).put((byte) port).putShort((short) 0);
    }

    private static ByteBuffer view(byte[] array) {
        return ByteBuffer.wrap(array).order(ByteOrder.nativeOrder());
    }
}
