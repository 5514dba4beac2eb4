package io.sluice.handover;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonSetter;
import com.fasterxml.jackson.annotation.Nulls;
import io.sluice.balance.BalancePosition;
import io.sluice.forward.ForwarderHandover;
import io.sluice.forward.MovedConnection;
import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.util.List;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonGenerator;
import tools.jackson.core.JsonParser;
import tools.jackson.core.StreamReadConstraints;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.core.StreamWriteFeature;
import tools.jackson.core.json.JsonFactory;
import tools.jackson.databind.DeserializationContext;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.SerializationContext;
import tools.jackson.databind.ValueDeserializer;
import tools.jackson.databind.ValueSerializer;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.module.SimpleModule;

/**
 * JSON format of a {@link ForwarderHandover}, which is the same in all protocol versions, and of {@link
 * MovedConnection}s.
 */
public final class HandoverFormat {
    /** Maximum size: twice that of 500,000 affinity entries, 50,000 frontends and the maximum number of UDP flows. */
    private static final long LARGEST_BYTES = 128 << 20;

    /** Maximum number of bytes that are buffered for one direction of a connection. */
    private static final int LARGEST_BUFFER = 1 << 20;

    private static final JsonMapper JSON = JsonMapper.builder(JsonFactory.builder()
                    .streamReadConstraints(StreamReadConstraints.builder()
                            .maxDocumentLength(LARGEST_BYTES)
                            .maxNestingDepth(16)
                            .maxStringLength(1024)
                            .build())
                    .build())
            .addModule(new SimpleModule()
                    .addSerializer(IpAddress.class, new AddressWriter())
                    .addDeserializer(IpAddress.class, new AddressReader())
                    .addSerializer(ByteBuffer.class, new LengthWriter())
                    .addDeserializer(ByteBuffer.class, new LengthReader()))
            .addMixIn(ForwarderHandover.class, AddedComponents.class)
            .disable(StreamWriteFeature.AUTO_CLOSE_TARGET)
            .disable(StreamReadFeature.AUTO_CLOSE_SOURCE)
            .disable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .enable(DeserializationFeature.FAIL_ON_NULL_CREATOR_PROPERTIES)
            .build();

    /** As {@link #JSON}, but a component may be null. */
    private static final JsonMapper CONNECTIONS = JSON.rebuild()
            .disable(DeserializationFeature.FAIL_ON_NULL_CREATOR_PROPERTIES)
            .build();

    /** Components that were added to the format later: not written if empty, and empty if not received. */
    private interface AddedComponents {
        @JsonInclude(JsonInclude.Include.NON_EMPTY)
        @JsonSetter(nulls = Nulls.AS_EMPTY)
        List<ForwarderHandover.TakenOut> takenOut();
    }

    private static final class AddressWriter extends ValueSerializer<IpAddress> {
        @Override
        public void serialize(IpAddress address, JsonGenerator to, SerializationContext context) {
            to.writeString(address.toString());
        }
    }

    private static final class AddressReader extends ValueDeserializer<IpAddress> {
        @Override
        public @Nullable IpAddress deserialize(JsonParser from, DeserializationContext context) {
            return IpAddress.parse(from.getString());
        }
    }

    /** Writes only the number of bytes; {@link #writeBuffers} writes the bytes. */
    private static final class LengthWriter extends ValueSerializer<ByteBuffer> {
        @Override
        public void serialize(ByteBuffer bytes, JsonGenerator to, SerializationContext context) {
            to.writeNumber(bytes.remaining());
        }
    }

    private static final class LengthReader extends ValueDeserializer<ByteBuffer> {
        @Override
        public @Nullable ByteBuffer deserialize(JsonParser from, DeserializationContext context) {
            int length = from.getIntValue();
            if (length < 0 || length > LARGEST_BUFFER) {
                return context.reportInputMismatch(this, "%d is not a number of buffered bytes", length);
            }
            return ByteBuffer.allocate(length);
        }
    }

    /** Test message of the rehearsal: contains one element of every kind; all descriptors are 0. */
    static final ForwarderHandover SAMPLE = sample();

    /** Test connections of the rehearsal: one of each kind; all descriptors are 0. */
    static final List<MovedConnection> SAMPLE_CONNECTIONS = sampleConnections();

    private HandoverFormat() {}

    private static ForwarderHandover sample() {
        IpAddress address = IpAddress.v4(1);
        Endpoint endpoint = new Endpoint(address, 1);
        ForwarderHandover.OpenFlow flow = new ForwarderHandover.OpenFlow(0, address, 1, endpoint, 0, 0, 0);
        return new ForwarderHandover(
                List.of(new ForwarderHandover.Sockets(
                        new FrontendAddress(Protocol.UDP, address, 1),
                        List.of(new ForwarderHandover.OpenSocket(0, List.of(flow))))),
                List.of(new BalancePosition(
                        new ServicePortName("", "", "", Protocol.UDP),
                        List.of(endpoint),
                        List.of(new BalancePosition.AffinityEntry(address, endpoint, 0)))),
                List.of());
    }

    private static List<MovedConnection> sampleConnections() {
        IpAddress address = IpAddress.v4(1);
        FrontendAddress frontend = new FrontendAddress(Protocol.TCP, address, 1);
        ServicePortName service = new ServicePortName("", "", "", Protocol.TCP);
        ByteBuffer bytes = ByteBuffer.wrap(new byte[] {0, 1, (byte) 0xff});
        MovedConnection.Stream stream = new MovedConnection.Stream(0, false, bytes);
        return List.of(new MovedConnection(
                0,
                frontend,
                service,
                address,
                address,
                1,
                0,
                1,
                ByteBuffer.allocate(0),
                new MovedConnection.Forwarding(0, new Endpoint(address, 1), 0, -1, stream, stream)));
    }

    static void write(ForwarderHandover handover, OutputStream to) throws IOException {
        write(JSON, handover, to);
    }

    static void write(List<MovedConnection> connections, OutputStream to) throws IOException {
        write(CONNECTIONS, connections, to);
    }

    private static void write(JsonMapper mapper, Object value, OutputStream to) throws IOException {
        try {
            mapper.writeValue(to, value);
        } catch (JacksonException e) {
            throw asIo(e);
        }
    }

    /** Reads one JSON document. The sender must send nothing after it until it has received a reply. */
    static ForwarderHandover read(InputStream from) throws IOException {
        try {
            return JSON.readValue(from, ForwarderHandover.class);
        } catch (JacksonException e) {
            throw asIo(e);
        }
    }

    /** Reads connections, as {@link #read}. */
    static List<MovedConnection> readConnections(InputStream from) throws IOException {
        try {
            return List.of(CONNECTIONS.readValue(from, MovedConnection[].class));
        } catch (JacksonException e) {
            throw asIo(e);
        }
    }

    /** Writes the buffered bytes of connections, which follow the JSON. */
    static void writeBuffers(List<MovedConnection> connections, OutputStream to) throws IOException {
        for (ByteBuffer bytes : MovedConnection.buffers(connections)) {
            to.write(bytes.array(), bytes.arrayOffset() + bytes.position(), bytes.remaining());
        }
    }

    /** Reads the bytes that {@link #writeBuffers} has written, and no more. */
    static void readBuffers(List<MovedConnection> connections, InputStream from) throws IOException {
        for (ByteBuffer bytes : MovedConnection.buffers(connections)) {
            if (from.readNBytes(bytes.array(), bytes.arrayOffset(), bytes.remaining()) < bytes.remaining()) {
                throw new EOFException("the peer closed the connection");
            }
        }
    }

    private static IOException asIo(JacksonException e) {
        return e.getCause() instanceof IOException cause
                ? cause
                : new IOException("cannot parse the handover state (different version?): " + e.getOriginalMessage(), e);
    }

    /**
     * Writes and parses test messages. The first use of the format takes a few hundred milliseconds; without this
     * call, clients would wait for that time during the handover.
     */
    public static void warmUp() {
        ForwarderHandover read = JSON.readValue(JSON.writeValueAsBytes(SAMPLE), ForwarderHandover.class);
        if (!read.equals(SAMPLE)) {
            throw new IllegalStateException("the test message was written as " + SAMPLE + " and read as " + read);
        }
        List<MovedConnection> connections = List.of(
                CONNECTIONS.readValue(CONNECTIONS.writeValueAsBytes(SAMPLE_CONNECTIONS), MovedConnection[].class));
        if (connections.size() != SAMPLE_CONNECTIONS.size()) {
            throw new IllegalStateException(
                    "the test connection was written as " + SAMPLE_CONNECTIONS + " and read as " + connections);
        }
    }
}
