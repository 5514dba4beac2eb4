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
 * Measures round trips through the UDP forwarder. With many flows, the forwarder has to look up the flow of each
 * datagram. In a round trip, two datagrams are forwarded, one each way. Client, forwarder and echo endpoint share the
 * machine: see {@link TcpRelayBenchmark}.
 */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 3, time = 1)
// Ends the wait for a lost datagram. None should be lost, since a batch fits into every socket's buffer.
@Timeout(time = 20)
public class UdpRelayBenchmark {
    private static final int MAX_BYTES = 64 << 10;

    /** A forwarder and its echo endpoint, which serves all flows on one thread. */
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
            ByteBuffer buffer = ByteBuffer.allocateDirect(MAX_BYTES);
            while (echo.isOpen()) {
                try {
                    SocketAddress from = echo.receive(buffer.clear());
                    echo.send(buffer.flip(), from);
                } catch (ClosedChannelException e) {
                    // Closed by the tear-down; the loop ends.
                } catch (IOException e) {
                    throw new IllegalStateException("the echo endpoint failed; the client would wait forever", e);
                }
            }
        }
    }

    /** The client sockets, one per flow, and the datagram that all of them send. */
    @State(Scope.Thread)
    @SuppressWarnings("NullAway.Init") // JMH calls the @Setup method first
    public static class Flows {
        @Param({"64", "1400"})
        int datagramBytes;

        @Param({"1", "1000"})
        int flows;

        /** Datagrams sent, each by the next flow, before the first response is read. */
        @Param({"1", "16"})
        int batch;

        private DatagramChannel[] channels;
        private ByteBuffer datagram;
        private int sending;
        private int reading;
        private int inFlight;

        @Setup
        public void open(Relay relay) throws IOException {
            datagram = ByteBuffer.allocateDirect(datagramBytes);
            channels = new DatagramChannel[flows];
            for (int i = 0; i < flows; i++) {
                channels[i] = DatagramChannel.open().connect(relay.relay.address);
            }
        }

        @TearDown
        public void close() throws IOException {
            for (DatagramChannel channel : channels) {
                channel.close();
            }
        }

        private void send() throws IOException {
            for (; inFlight < batch; inFlight++) {
                channels[sending].write(datagram.clear());
                sending = (sending + 1) % flows;
            }
        }

        private void read() throws IOException {
            if (channels[reading].read(datagram.clear()) != datagramBytes) {
                throw new IOException("response has " + datagram.position() + " bytes");
            }
            reading = (reading + 1) % flows;
            inFlight--;
        }
    }

    @Benchmark
    public void roundTrip(Flows flows) throws IOException {
        if (flows.inFlight == 0) {
            flows.send();
        }
        flows.read();
    }
}
