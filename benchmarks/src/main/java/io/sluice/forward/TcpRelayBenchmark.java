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
 * Round trips through the TCP relay, one under way in every session: the time is that between two answers of whichever
 * session. A round trip is two messages relayed, one each way. Client, forwarder and echo share the machine, so this
 * compares one version of the forwarder with the next and is no measure of a network.
 *
 * <p>{@link LoopAllocationProfiler} tells what the forwarder allocates.
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
    int sessions;

    private TcpEcho echo;
    private LoopbackRelay relay;
    private Selector selector;
    private ByteBuffer answer;
    private int answered;

    /** One connection, the message it is sending, and how much of the answer is missing. */
    private final class Session {
        private final ByteBuffer message = ByteBuffer.allocateDirect(messageBytes);
        private final SocketChannel channel;
        private final SelectionKey key;
        private int missingBytes;

        Session() throws IOException {
            channel = SocketChannel.open(relay.address).setOption(StandardSocketOptions.TCP_NODELAY, true);
            channel.configureBlocking(false);
            key = channel.register(selector, SelectionKey.OP_READ, this);
            send();
        }

        private void send() throws IOException {
            message.clear();
            missingBytes = messageBytes;
            write();
        }

        private void write() throws IOException {
            channel.write(message);
            // What does not fit at once goes on beside the answer: the echo may have to get rid of that first.
            key.interestOps(SelectionKey.OP_READ | (message.hasRemaining() ? SelectionKey.OP_WRITE : 0));
        }

        void ready() throws IOException {
            if (key.isWritable()) {
                write();
            }
            if (key.isReadable()) {
                int length = channel.read(answer.clear().limit(missingBytes));
                if (length < 0) {
                    throw new EOFException("closed, with " + missingBytes + " bytes of the answer missing");
                }
                missingBytes -= length;
                if (missingBytes == 0) {
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
        for (int i = 0; i < sessions; i++) {
            new Session();
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
            ((Session) key.attachment()).ready();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
