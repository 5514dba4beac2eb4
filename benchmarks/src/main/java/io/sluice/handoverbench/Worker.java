package io.sluice.handoverbench;

import io.netty.bootstrap.Bootstrap;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoop;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.WriteBufferWaterMark;
import io.netty.channel.epoll.EpollChannelOption;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.epoll.EpollServerSocketChannel;
import io.netty.channel.epoll.EpollSocketChannel;
import io.netty.util.concurrent.DefaultThreadFactory;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;
import tools.jackson.databind.json.JsonMapper;

/** What the client and the endpoint process have in common: the command loop, event loops and socket options. */
final class Worker {
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final int MAX_UNSENT_BYTES = 256 << 10;
    private static final int BACKLOG = 4_096;

    private Worker() {}

    /** Executes a command. */
    @FunctionalInterface
    interface Handler {
        Object execute(String command, String argument) throws IOException, InterruptedException;
    }

    /** The result of a command that returns nothing. */
    record Done() {}

    /** The result of a command that failed. */
    record Failure(String error) {}

    /** Reads a command per line from standard input, and writes each result as a line of JSON, until the input ends. */
    static void serve(Handler handler) throws IOException {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            Object result;
            try {
                String[] parts = line.split(" ", 2);
                result = handler.execute(parts[0], parts.length > 1 ? parts[1] : "");
            } catch (IOException | InterruptedException | RuntimeException e) {
                e.printStackTrace();
                result = new Failure(line + ": " + e);
            }
            System.out.println(JSON.writeValueAsString(result));
        }
    }

    /** Runs a task periodically. Ends the process if it fails: the benchmark would otherwise measure less load. */
    @SuppressWarnings("FutureReturnValueIgnored") // reported by the task itself
    static void every(long periodNanos, EventLoop loop, Runnable task) {
        loop.scheduleAtFixedRate(() -> run(task), periodNanos, periodNanos, TimeUnit.NANOSECONDS);
    }

    /** Runs a task once; otherwise like {@link #every}. */
    @SuppressWarnings("FutureReturnValueIgnored") // reported by the task itself
    static void after(long delayNanos, EventLoop loop, Runnable task) {
        loop.schedule(() -> run(task), delayNanos, TimeUnit.NANOSECONDS);
    }

    private static void run(Runnable task) {
        try {
            task.run();
        } catch (RuntimeException | Error e) {
            e.printStackTrace();
            Runtime.getRuntime().halt(1);
        }
    }

    static MultiThreadIoEventLoopGroup loops(int threads, String name) {
        return new MultiThreadIoEventLoopGroup(
                threads, new DefaultThreadFactory(name, true), EpollIoHandler.newFactory());
    }

    static Bootstrap client(MultiThreadIoEventLoopGroup loop) {
        return new Bootstrap()
                .group(loop)
                .channel(EpollSocketChannel.class)
                .option(ChannelOption.ALLOW_HALF_CLOSURE, true)
                .option(ChannelOption.TCP_NODELAY, true)
                .option(ChannelOption.WRITE_BUFFER_WATER_MARK, new WriteBufferWaterMark(64 << 10, MAX_UNSENT_BYTES))
                // Otherwise, binding to an address would reserve a port for all destinations.
                .option(EpollChannelOption.IP_BIND_ADDRESS_NO_PORT, true);
    }

    static ServerBootstrap server(MultiThreadIoEventLoopGroup acceptor, MultiThreadIoEventLoopGroup loops) {
        return new ServerBootstrap()
                .group(acceptor, loops)
                .channel(EpollServerSocketChannel.class)
                .option(ChannelOption.SO_BACKLOG, BACKLOG)
                .childOption(ChannelOption.ALLOW_HALF_CLOSURE, true)
                .childOption(ChannelOption.TCP_NODELAY, true)
                .childOption(
                        ChannelOption.WRITE_BUFFER_WATER_MARK, new WriteBufferWaterMark(64 << 10, MAX_UNSENT_BYTES));
    }
}
