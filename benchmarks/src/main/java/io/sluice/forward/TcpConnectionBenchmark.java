package io.sluice.forward;

import io.sluice.model.Protocol;
import java.io.IOException;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Timeout;
import org.openjdk.jmh.annotations.Warmup;

/** Measures opening a connection, one round trip of one byte, and an orderly close, one connection at a time. */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 3, time = 1)
@Timeout(time = 20)
public class TcpConnectionBenchmark {

    /** A forwarder and its echo endpoint. */
    @State(Scope.Benchmark)
    @SuppressWarnings("NullAway.Init") // JMH calls the @Setup method first
    public static class Relay {
        private TcpEcho echo;
        private LoopbackRelay relay;

        @Setup
        public void open() throws IOException {
            echo = new TcpEcho(1);
            relay = new LoopbackRelay(Protocol.TCP, echo.address);
        }

        @TearDown
        public void close() throws IOException {
            relay.close();
            echo.close();
        }
    }

    /** The byte that each connection sends, and that the endpoint sends back. */
    @State(Scope.Thread)
    public static class OneByte {
        private final ByteBuffer message = ByteBuffer.allocateDirect(1);
    }

    /** Returns when both directions are closed. */
    @Benchmark
    public void connectAndClose(Relay relay, OneByte oneByte) throws IOException {
        ByteBuffer message = oneByte.message;
        try (SocketChannel channel = SocketChannel.open(relay.relay.address)) {
            channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
            channel.write(message.clear());
            if (channel.read(message.clear()) != 1) {
                throw new IOException("connection closed before the response");
            }
            channel.shutdownOutput();
            if (channel.read(message.clear()) >= 0) {
                throw new IOException("received more than was sent");
            }
        }
    }
}
