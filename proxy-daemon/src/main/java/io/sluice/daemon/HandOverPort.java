package io.sluice.daemon;

import io.sluice.forward.Forwarder;
import io.sluice.forward.HandOver;
import java.io.EOFException;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Lock;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Where a successor asks for what this process serves with. One at a time; one that fails costs the clients a short wait,
 * and this process goes on.
 */
final class HandOverPort implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(HandOverPort.class);

    private static final Duration PAUSE = Duration.ofSeconds(1);

    private final Path path;
    private final Forwarder forwarder;
    private final Lock changes;
    private final Consumer<String> letGo;
    private volatile @Nullable ServerSocketChannel server;
    private volatile boolean taken;
    /** Of our socket's file. */
    private volatile @Nullable Object key;

    /**
     * @param changes held while it is not decided who serves: nothing is to change then
     * @param letGo releases, with that lock held, whatever else a successor needs; told how that one leads packets here
     */
    HandOverPort(Path path, Forwarder forwarder, Lock changes, Consumer<String> letGo) {
        this.path = path;
        this.forwarder = forwarder;
        this.changes = changes;
        this.letGo = letGo;
    }

    /**
     * Listens. If it cannot, that is logged, and there will be no hand-over.
     *
     * @param successor whether a predecessor's socket, which may still answer, is to be replaced
     */
    void open(boolean successor) {
        try {
            Files.createDirectories(path.toAbsolutePath().getParent());
            if (!successor && HandOverChannel.isServed(path)) {
                log.warn("no successor can take over without a gap: another process answers at {}", path);
                return;
            }
            Files.deleteIfExists(path);
            ServerSocketChannel opened = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
            server = opened;
            opened.bind(UnixDomainSocketAddress.of(path));
            Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rw-------"));
            key = Files.readAttributes(path, BasicFileAttributes.class).fileKey();
            Thread thread = new Thread(() -> serve(opened), "sluice-hand-over");
            thread.setDaemon(true);
            thread.start();
        } catch (IOException | UnsupportedOperationException e) {
            log.warn("no successor can take over without a gap: {} cannot be opened: {}", path, e.toString());
        }
    }

    private void serve(ServerSocketChannel accepting) {
        while (!taken) {
            try (HandOverChannel successor = new HandOverChannel(accepting.accept())) {
                handOver(successor);
            } catch (ClosedChannelException e) {
                return;
            } catch (IOException | RuntimeException e) {
                // Nothing that somebody sends may be the end of it, nor a lack of descriptors; that one passes.
                log.warn("{} was not answered", path, e);
                LockSupport.parkNanos(PAUSE.toNanos());
            }
        }
    }

    private void handOver(HandOverChannel channel) {
        HandOverChannel.Successor successor;
        try {
            successor = channel.awaitHello();
        } catch (EOFException e) {
            log.trace("somebody looked whether {} is served", path);
            return;
        } catch (IOException e) {
            log.warn("somebody at {} does not take over: {}", path, e.getMessage());
            return;
        }
        HandOverChannel.rehearse();
        changes.lock();
        try {
            long sinceNanos = System.nanoTime();
            HandOver offered = forwarder.release();
            try {
                channel.give(offered, successor);
            } catch (IOException | RuntimeException e) {
                forwarder.takeBack(offered);
                log.warn("process {} wanted to take over and did not; going on: {}", successor.pid(), e.getMessage());
                return;
            }
            long waitedMillis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - sinceNanos);
            taken = true;
            forwarder.letGo(offered);
            letGo.accept(successor.rules());
            log.info(
                    "process {} has taken over {} and {} in {} ms",
                    successor.pid(),
                    Table.count(offered.frontends().size(), "address"),
                    Table.count(offered.flows(), "UDP flow"),
                    waitedMillis);
            channel.released();
        } catch (IOException e) {
            log.debug("the successor did not wait to hear that it is alone", e);
        } finally {
            changes.unlock();
        }
    }

    /** Whether all is a successor's now. */
    boolean isTaken() {
        return taken;
    }

    /** Nobody takes over from now on. */
    @Override
    public void close() {
        ServerSocketChannel open = server;
        if (open == null || !open.isOpen()) {
            return;
        }
        try {
            open.close();
            // Otherwise it is a successor's, or of somebody who took the path.
            if (!taken
                    && Files.exists(path)
                    && Objects.equals(
                            key,
                            Files.readAttributes(path, BasicFileAttributes.class)
                                    .fileKey())) {
                Files.deleteIfExists(path);
            }
        } catch (IOException e) {
            log.warn("{} could not be removed: {}", path, e.toString());
        }
    }
}
