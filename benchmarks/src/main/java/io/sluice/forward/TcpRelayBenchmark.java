package io.sluice.forward;

import io.sluice.model.Protocol;
import java.io.EOFException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
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

/**
 * Measures round trips through the TCP forwarder, with one in flight on every connection: the result is the time
 * between two responses on any connection. In a round trip, two messages are forwarded, one each way. Client, forwarder
 * and echo endpoint share the machine, so use this to compare versions of the forwarder, not to predict network
 * performance.
 *
 * <p>{@link LoopAllocationProfiler} reports how much the forwarder allocates.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 3, time = 1)
@Timeout(time = 20)
@SuppressWarnings("NullAway.Init") // JMH calls the @Setup method first
public class TcpRelayBenchmark {
    @Param({"64", "1024", "16384", "65536"})
    int messageBytes;

    @Param({"1", "64", "1000"})
    int connections;

    private TcpEcho echo;
    private LoopbackRelay relay;
    private Selector selector;
    private ByteBuffer answer;
    private int answered;

    /** One connection with the message being sent and the number of response bytes still to receive. */
    private final class Client {
        private final ByteBuffer message = ByteBuffer.allocateDirect(messageBytes);
        private final SocketChannel channel;
        private final SelectionKey key;
        private int remainingBytes;

        Client() throws IOException {
            channel = SocketChannel.open(relay.address).setOption(StandardSocketOptions.TCP_NODELAY, true);
            channel.configureBlocking(false);
            key = channel.register(selector, SelectionKey.OP_READ, this);
            send();
        }

        private void send() throws IOException {
            message.clear();
            remainingBytes = messageBytes;
            write();
        }

        private void write() throws IOException {
            channel.write(message);
            // Send the rest while reading the response: the echo may have to write before it reads on.
            key.interestOps(SelectionKey.OP_READ | (message.hasRemaining() ? SelectionKey.OP_WRITE : 0));
        }

        void ready() throws IOException {
            if (key.isWritable()) {
                write();
            }
            if (key.isReadable()) {
                int length = channel.read(answer.clear().limit(remainingBytes));
                if (length < 0) {
                    throw new EOFException("connection closed with " + remainingBytes + " response bytes missing");
                }
                remainingBytes -= length;
                if (remainingBytes == 0) {
                    answered++;
                    send();
                }
            }
        }
    }

    @Setup
    public void open() throws IOException {
        echo = new TcpEcho(messageBytes);
        relay = new LoopbackRelay(Protocol.TCP, echo.address);
        selector = Selector.open();
        answer = ByteBuffer.allocateDirect(messageBytes);
        for (int i = 0; i < connections; i++) {
            new Client();
        }
    }

    @TearDown
    public void close() throws IOException {
        for (SelectionKey key : selector.keys()) {
            key.channel().close();
        }
        selector.close();
        relay.close();
        echo.close();
    }

    @Benchmark
    public void roundTrip() throws IOException {
        while (answered == 0) {
            selector.select(TcpRelayBenchmark::ready);
        }
        answered--;
    }

    private static void ready(SelectionKey key) {
        try {
            ((Client) key.attachment()).ready();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
