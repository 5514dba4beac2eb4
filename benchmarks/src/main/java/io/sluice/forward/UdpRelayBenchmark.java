package io.sluice.forward;

import io.sluice.model.Protocol;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.DatagramChannel;
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

/**
 * Round trips through the UDP relay, one flow per thread. A round trip is two datagrams relayed, one each way. Client,
 * forwarder and echo share the machine: see {@link TcpRelayBenchmark}.
 */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 3, time = 1)
// A lost datagram would be waited for until then; with one under way per flow, nothing should be lost.
@Timeout(time = 20)
public class UdpRelayBenchmark {
    private static final int MOST_BYTES = 64 << 10;

    /** A forwarder, and an echo behind it that answers every flow from one thread. */
    @State(Scope.Benchmark)
    @SuppressWarnings("NullAway.Init") // JMH calls the @Setup method first
    public static class Relay {
        private DatagramChannel echo;
        private LoopbackRelay relay;

        @Setup
        public void open() throws IOException {
            echo = DatagramChannel.open().bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
            Thread thread = new Thread(this::serve, "echo");
            thread.setDaemon(true);
            thread.start();
            relay = new LoopbackRelay(Protocol.UDP, (InetSocketAddress) echo.getLocalAddress());
        }

        @TearDown
        public void close() throws IOException {
            relay.close();
            echo.close();
        }

        private void serve() {
            ByteBuffer buffer = ByteBuffer.allocateDirect(MOST_BYTES);
            while (echo.isOpen()) {
                try {
                    SocketAddress from = echo.receive(buffer.clear());
                    echo.send(buffer.flip(), from);
                } catch (ClosedChannelException e) {
                    // Closed by the tear-down: the loop's condition ends it.
                } catch (IOException e) {
                    throw new IllegalStateException("the echo failed, so the client would wait for ever", e);
                }
            }
        }
    }

    /** One client socket and the datagram that goes to and fro. */
    @State(Scope.Thread)
    @SuppressWarnings("NullAway.Init") // JMH calls the @Setup method first
    public static class Flow {
        @Param({"64", "1400"})
        int datagramBytes;

        private DatagramChannel channel;
        private ByteBuffer datagram;

        @Setup
        public void open(Relay relay) throws IOException {
            channel = DatagramChannel.open().connect(relay.relay.address);
            datagram = ByteBuffer.allocateDirect(datagramBytes);
        }

        @TearDown
        public void close() throws IOException {
            channel.close();
        }
    }

    @Benchmark
    public void pingPong(Flow flow) throws IOException {
        flow.channel.write(flow.datagram.clear());
        if (flow.channel.read(flow.datagram.clear()) != flow.datagramBytes) {
            throw new IOException("an answer of " + flow.datagram.position() + " bytes");
        }
    }
}
