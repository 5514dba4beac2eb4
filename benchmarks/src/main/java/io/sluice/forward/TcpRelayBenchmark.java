package io.sluice.forward;

import io.sluice.model.Protocol;
import java.io.EOFException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Timeout;
import org.openjdk.jmh.annotations.Warmup;
import org.openjdk.jmh.infra.BenchmarkParams;

/**
 * Round trips through the TCP relay: client, forwarder and echo share the machine, so this compares one version of the
 * forwarder with the next and is no measure of a network. A round trip is two messages relayed, one each way.
 *
 * <p>Client and echo allocate nothing once they run; {@link LoopAllocationProfiler} tells what the forwarder allocates.
 */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 3, time = 1)
@Timeout(time = 20)
public class TcpRelayBenchmark {

    /** Sends back what it gets. As many threads as the benchmark has clients, each with one connection at a time. */
    @State(Scope.Benchmark)
    @SuppressWarnings("NullAway.Init") // JMH calls the @Setup method first
    public static class Relay {
        private static final int ECHO_BUFFER_BYTES = 64 << 10;

        private ServerSocketChannel echo;
        private LoopbackRelay relay;

        @Setup
        public void open(BenchmarkParams params) throws IOException {
            echo = ServerSocketChannel.open()
                    .bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), params.getThreads());
            for (int i = 0; i < params.getThreads(); i++) {
                Thread thread = new Thread(this::serve, "echo-" + i);
                thread.setDaemon(true);
                thread.start();
            }
            relay = new LoopbackRelay(Protocol.TCP, (InetSocketAddress) echo.getLocalAddress());
        }

        @TearDown
        public void close() throws IOException {
            relay.close();
            echo.close();
        }

        SocketChannel dial() throws IOException {
            return SocketChannel.open(relay.address).setOption(StandardSocketOptions.TCP_NODELAY, true);
        }

        private void serve() {
            ByteBuffer buffer = ByteBuffer.allocateDirect(ECHO_BUFFER_BYTES);
            while (echo.isOpen()) {
                try (SocketChannel client = echo.accept()) {
                    client.setOption(StandardSocketOptions.TCP_NODELAY, true);
                    while (client.read(buffer.clear()) >= 0) {
                        client.write(buffer.flip());
                    }
                } catch (ClosedChannelException e) {
                    // Closed by the tear-down: the loop's condition ends it.
                } catch (IOException e) {
                    throw new IllegalStateException("the echo failed, so the client would wait for ever", e);
                }
            }
        }
    }

    /** One open connection and the message that goes to and fro. */
    @State(Scope.Thread)
    @SuppressWarnings("NullAway.Init") // JMH calls the @Setup method first
    public static class Session {
        @Param({"64", "1024", "16384", "65536"})
        int messageBytes;

        private SocketChannel channel;
        private ByteBuffer message;

        @Setup
        public void open(Relay relay) throws IOException {
            channel = relay.dial();
            message = ByteBuffer.allocateDirect(messageBytes);
        }

        @TearDown
        public void close() throws IOException {
            channel.close();
        }
    }

    /** The one byte that shows that a connection reached the endpoint. */
    @State(Scope.Thread)
    public static class OneByte {
        private final ByteBuffer message = ByteBuffer.allocateDirect(1);
    }

    @Benchmark
    public void pingPong(Session session) throws IOException {
        exchange(session.channel, session.message);
    }

    /** Connects, exchanges one byte, and closes in order: the operation ends when both directions have. */
    @Benchmark
    public void connectAndClose(Relay relay, OneByte oneByte) throws IOException {
        try (SocketChannel channel = relay.dial()) {
            exchange(channel, oneByte.message);
            channel.shutdownOutput();
            if (channel.read(oneByte.message.clear()) >= 0) {
                throw new IOException("more came back than was sent");
            }
        }
    }

    private static void exchange(SocketChannel channel, ByteBuffer message) throws IOException {
        channel.write(message.clear());
        message.clear();
        while (message.hasRemaining()) {
            if (channel.read(message) < 0) {
                throw new EOFException("closed after " + message.position() + " bytes of the answer");
            }
        }
    }
}
