package io.sluice.daemon;

import io.sluice.forward.DescriptorPipe;
import io.sluice.forward.HandOver;
import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
import java.io.EOFException;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonGenerator;
import tools.jackson.core.JsonParser;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.core.StreamWriteFeature;
import tools.jackson.databind.DeserializationContext;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.SerializationContext;
import tools.jackson.databind.ValueDeserializer;
import tools.jackson.databind.ValueSerializer;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.module.SimpleModule;

/**
 * A connection between the process that serves and the one that is to succeed it, and what is said on it:
 *
 * <ol>
 *   <li>successor: {@link #HELLO} with its process id, how it leads packets here, and where it wants the sockets;
 *   <li>incumbent: a {@link HandOver} as JSON, and the sockets on the way asked for;
 *   <li>successor, once it serves: {@link #SERVING}. Until then, whatever goes wrong, the incumbent takes all back;
 *   <li>incumbent, once it has let go of everything, ports of health and metrics included: {@link #RELEASED}.
 * </ol>
 */
final class HandOverChannel implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(HandOverChannel.class);

    /** Ends in the version: of the order above, of {@link HandOver}, and of what its parts mean. */
    private static final String HELLO = "sluice-hand-over-2";

    /** Of a process that leads no packets here. */
    static final String NO_RULES = "none";

    private static final String SERVING = "serving";
    private static final String RELEASED = "released";

    /** For all that is to happen once it has begun; clients wait for a part of it. */
    private static final Duration LIMIT = Duration.ofSeconds(10);

    /** Whoever connects says at once what it wants. */
    private static final Duration HELLO_LIMIT = Duration.ofSeconds(1);

    private static final int LONGEST_LINE = 4096;

    /** Of 107, less a dot and a process id. */
    private static final int LONGEST_PATH_BYTES = 98;

    private static final JsonMapper JSON = JsonMapper.builder()
            .addModule(new SimpleModule()
                    .addSerializer(IpAddress.class, new AddressWriter())
                    .addDeserializer(IpAddress.class, new AddressReader()))
            .disable(StreamWriteFeature.AUTO_CLOSE_TARGET)
            .disable(StreamReadFeature.AUTO_CLOSE_SOURCE)
            .disable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .enable(DeserializationFeature.FAIL_ON_NULL_CREATOR_PROPERTIES)
            .build();

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

    /** Who wants to take over, and the path of the {@link DescriptorPipe} that it listens on. */
    record Successor(String pid, String rules, Path pipe) {}

    /** Has everything in it that there can be. */
    private static final HandOver SAMPLE = sample();

    private final SocketChannel channel;

    HandOverChannel(SocketChannel channel) {
        this.channel = channel;
    }

    /**
     * @throws IllegalStateException if the path, or a successor's pipe beside it, would be too long for a socket, or
     *     something else is there, which is not ours to replace
     */
    static void requireUsable(Path path) {
        int bytes = path.toAbsolutePath().toString().getBytes(StandardCharsets.UTF_8).length;
        if (bytes > LONGEST_PATH_BYTES) {
            throw new IllegalStateException("--handover-socket: " + path.toAbsolutePath() + " is " + bytes
                    + " bytes long; a socket's path may have " + LONGEST_PATH_BYTES + " here");
        }
        if (Files.isRegularFile(path) || Files.isDirectory(path)) {
            throw new IllegalStateException("--handover-socket: " + path + " is there already and is no socket");
        }
    }

    /** Whether somebody serves now. */
    static boolean isServed(Path path) {
        try (HandOverChannel incumbent = toIncumbent(path)) {
            return incumbent != null;
        }
    }

    /** A connection to whoever serves now; null if nobody does. */
    static @Nullable HandOverChannel toIncumbent(Path path) {
        if (!Files.exists(path)) {
            return null;
        }
        try {
            return new HandOverChannel(SocketChannel.open(UnixDomainSocketAddress.of(path)));
        } catch (IOException e) {
            log.info("nobody answers at {}, which a predecessor left: {}", path, e.getMessage());
            return null;
        }
    }

    private static HandOver sample() {
        IpAddress address = IpAddress.v4(1);
        Endpoint endpoint = new Endpoint(address, 1);
        HandOver.OpenFlow flow = new HandOver.OpenFlow(0, address, 1, endpoint, 0, 0, 0);
        return new HandOver(
                List.of(new HandOver.Sockets(
                        new FrontendAddress(Protocol.UDP, address, 1),
                        List.of(new HandOver.OpenSocket(0, List.of(flow))))),
                List.of(new HandOver.Balance(
                        new ServicePortName("", "", "", Protocol.UDP),
                        List.of(endpoint),
                        List.of(new HandOver.Pin(address, endpoint, 0)))));
    }

    /**
     * Writes and reads once for nothing. The first time takes some hundred milliseconds, and when it counts, clients wait.
     */
    static void rehearse() {
        HandOver read = JSON.readValue(JSON.writeValueAsBytes(SAMPLE), HandOver.class);
        if (!read.equals(SAMPLE)) {
            throw new IllegalStateException("written and read, " + SAMPLE + " became " + read);
        }
    }

    // ---- the successor

    /** Asks for everything; it is the caller's from then on. */
    HandOver take(Path path, String rules) throws IOException {
        String pid = String.valueOf(ProcessHandle.current().pid());
        Path pipePath = path.resolveSibling(path.getFileName() + "." + pid);
        Files.deleteIfExists(pipePath);
        CompletableFuture<?> limit = limit(LIMIT);
        try (DescriptorPipe listening = DescriptorPipe.listen(pipePath, LIMIT)) {
            writeLine(HELLO + " " + pid + " " + rules + " " + pipePath.toAbsolutePath());
            HandOver offered = JSON.readValue(Channels.newInputStream(channel), HandOver.class);
            try (DescriptorPipe pipe = listening.accept()) {
                return offered.withDescriptors(
                        pipe.receive(offered.descriptors().size()));
            }
        } catch (JacksonException e) {
            throw new IOException("it is of another version, or ended: " + e.getOriginalMessage(), e);
        } finally {
            limit.cancel(false);
            Files.deleteIfExists(pipePath);
        }
    }

    /** Says that this process serves, and waits until the incumbent has let go. */
    void serving() throws IOException {
        CompletableFuture<?> limit = limit(LIMIT);
        try {
            writeLine(SERVING);
            expect(RELEASED);
        } finally {
            limit.cancel(false);
        }
    }

    // ---- the incumbent

    /** @throws EOFException if the other side only looked whether somebody is there */
    Successor awaitHello() throws IOException {
        CompletableFuture<?> limit = limit(HELLO_LIMIT);
        String[] words;
        try {
            words = readLine().split(" ", 4);
        } finally {
            limit.cancel(false);
        }
        if (words.length < 4 || !words[0].equals(HELLO)) {
            throw new IOException("it says '" + words[0] + "' and not '" + HELLO + "'");
        }
        try {
            return new Successor(words[1], words[2], Path.of(words[3]));
        } catch (InvalidPathException e) {
            throw new IOException("it names a pipe that cannot be", e);
        }
    }

    /** Returns when the successor serves. */
    void give(HandOver offered, Successor successor) throws IOException {
        CompletableFuture<?> limit = limit(LIMIT);
        try (DescriptorPipe pipe = DescriptorPipe.connect(successor.pipe(), LIMIT)) {
            JSON.writeValue(Channels.newOutputStream(channel), offered);
            pipe.send(offered.descriptors());
            expect(SERVING);
        } catch (JacksonException e) {
            throw new IOException(e.getOriginalMessage(), e);
        } finally {
            limit.cancel(false);
            // One that was killed leaves it.
            Files.deleteIfExists(successor.pipe());
        }
    }

    void released() throws IOException {
        writeLine(RELEASED);
    }

    // ---- both

    /** Closes the connection when the time is up, which ends whatever waits for the other side. */
    private CompletableFuture<?> limit(Duration time) {
        CompletableFuture<@Nullable Void> limit = new CompletableFuture<>();
        return limit.completeOnTimeout(null, time.toMillis(), TimeUnit.MILLISECONDS)
                .thenRun(this::close);
    }

    private void writeLine(String line) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap((line + "\n").getBytes(StandardCharsets.UTF_8));
        while (bytes.hasRemaining()) {
            channel.write(bytes);
        }
    }

    private void expect(String line) throws IOException {
        String said = readLine();
        if (!said.equals(line)) {
            throw new IOException("it says '" + said + "' and not '" + line + "'");
        }
    }

    private String readLine() throws IOException {
        StringBuilder line = new StringBuilder();
        ByteBuffer one = ByteBuffer.allocate(1);
        while (line.length() < LONGEST_LINE) {
            one.clear();
            try {
                if (channel.read(one) < 0) {
                    throw new EOFException("it has ended");
                }
            } catch (ClosedChannelException e) {
                throw new IOException("it took too long", e);
            }
            char character = (char) one.get(0);
            if (character == '\n') {
                return line.toString();
            }
            line.append(character);
        }
        throw new IOException("it says more than it should");
    }

    @Override
    public void close() {
        try {
            channel.close();
        } catch (IOException e) {
            log.debug("not closed", e);
        }
    }
}
