package io.sluice.handover;

import io.netty.channel.IoEvent;
import io.netty.channel.IoEventLoop;
import io.netty.channel.IoRegistration;
import io.netty.channel.epoll.EpollIoHandle;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.epoll.EpollIoOps;
import io.netty.channel.unix.FileDescriptor;
import io.netty.util.concurrent.Future;
import io.sluice.forward.Forwarder;
import io.sluice.forward.ForwarderHandover;
import io.sluice.handover.NewProcess.Hello;
import io.sluice.socket.UnixListener;
import io.sluice.socket.UnixSocket;
import io.sluice.text.Table;
import io.sluice.thread.EventLoops;
import io.sluice.thread.Supervisor;
import java.io.EOFException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.Lock;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The old process's side of a handover. Listens on the handover socket and hands over listeners, UDP flows and state to
 * a new process, and then the open TCP connections.
 *
 * <p>Runs on one thread. A connection must send its first line (hello) within a time limit. If more than {@link
 * #MAX_PENDING} connections have not sent it yet, the oldest of them is closed. Hellos are handled one at a time.
 */
public final class HandoverServer implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(HandoverServer.class);

    private static final int MAX_PENDING = 16;
    private static final long POLL_MILLIS = 5;
    private static final long ACCEPT_AGAIN_MILLIS = 1_000;

    private static final EpollIoOps ACCEPTING = EpollIoOps.EPOLLIN;
    private static final EpollIoOps PAUSED = EpollIoOps.EPOLLERR;

    private final Path path;
    private final Forwarder forwarder;
    private final Supervisor supervisor;
    private final Lock changes;
    private final String rules;
    private final Consumer<String> closeReleased;
    private final Duration drainTimeout;
    private final BooleanSupplier receivesConnections;
    /** Completed when connections are no longer moved; never if there is no handover. */
    private final CompletableFuture<@Nullable Void> connectionsMoved = new CompletableFuture<>();

    private boolean taken;
    private @Nullable UnixListener listener;
    private @Nullable EventLoops loops;

    // Accessed only on the loop.
    private final ArrayDeque<NewProcess> pending = new ArrayDeque<>();
    private boolean polling;
    /** Reason for the last rejection; empty if a rehearsal has succeeded since. */
    private String lastRejection = "";

    /**
     * Creates a server that is not listening yet.
     *
     * @param changes lock that is held during a handover, so that no snapshot is applied
     * @param rules string that describes how this process redirects packets; connections are only moved to a process
     *     with the same
     * @param closeReleased callback that releases everything else that the new process needs, called after a handover
     *     with {@code changes} held; its argument describes how the new process redirects packets
     * @param drainTimeout maximum time for which connections are moved
     * @param receivesConnections whether this process still receives connections from its own old process
     */
    public HandoverServer(
            Path path,
            Forwarder forwarder,
            Supervisor supervisor,
            Lock changes,
            String rules,
            Consumer<String> closeReleased,
            Duration drainTimeout,
            BooleanSupplier receivesConnections) {
        this.path = path;
        this.forwarder = forwarder;
        this.supervisor = supervisor;
        this.changes = changes;
        this.rules = rules;
        this.closeReleased = closeReleased;
        this.drainTimeout = drainTimeout;
        this.receivesConnections = receivesConnections;
    }

    /** Waits after a handover until no more connections are moved to the new process, or the timeout has passed. */
    public void awaitConnectionsMoved(Duration timeout) throws InterruptedException {
        try {
            connectionsMoved.get(timeout.toNanos(), TimeUnit.NANOSECONDS);
        } catch (TimeoutException e) {
            log.info("the drain timeout has passed while connections were moved to the new process");
        } catch (ExecutionException e) {
            throw new IllegalStateException("cannot happen", e);
        }
    }

    /**
     * Opens the handover socket. If this fails, logs the failure; a handover is then not possible.
     *
     * @param replaceOldSocket whether to replace the socket even if the old process still listens on it
     */
    public synchronized void open(boolean replaceOldSocket) {
        try {
            Files.createDirectories(path.toAbsolutePath().getParent());
            if (!replaceOldSocket && OldProcess.isListening(path)) {
                log.warn("handover is not available: another process listens on '{}'", path);
                return;
            }
            UnixListener opened = UnixListener.bind(path);
            listener = opened;
            EventLoops started = EventLoops.start(supervisor, "sluice-handover", 1, EpollIoHandler.newFactory());
            loops = started;
            new Acceptor(opened, started.group().next()).start();
        } catch (IOException | RuntimeException e) {
            close();
            log.warn("handover is not available: cannot listen on '{}': {}", path, e.toString());
        }
    }

    /** Stops listening and removes the handover socket. */
    @Override
    @SuppressWarnings("FutureReturnValueIgnored") // a handover in progress need not be awaited
    public synchronized void close() {
        try {
            if (listener != null) {
                listener.removeFile();
            }
        } catch (IOException e) {
            log.warn("cannot remove '{}': {}", path, e.toString());
        }
        if (loops != null) {
            loops.close(Duration.ZERO, Duration.ZERO);
        }
    }

    /** Accepts connections on the loop, and polls those that have not sent their first line yet. */
    private final class Acceptor implements EpollIoHandle {
        private final UnixListener listening;
        private final IoEventLoop loop;
        private @Nullable IoRegistration registration;

        Acceptor(UnixListener listening, IoEventLoop loop) {
            this.listening = listening;
            this.loop = loop;
        }

        void start() throws IOException {
            Future<IoRegistration> registered = loop.register(this).awaitUninterruptibly();
            if (!registered.isSuccess()) {
                throw new IOException("cannot register the listening socket", registered.cause());
            }
            registration = registered.getNow();
            registration.submit(ACCEPTING);
        }

        @Override
        public void handle(IoRegistration registered, IoEvent event) {
            try {
                for (int i = 0; i < MAX_PENDING; i++) {
                    UnixSocket next = listening.accept(HandoverChannel.HELLO_TIMEOUT);
                    if (next == null) {
                        break;
                    }
                    add(next);
                }
            } catch (IOException e) {
                // The process is usually out of descriptors, which is temporary.
                reject("cannot accept: " + e.getMessage());
                registered.submit(PAUSED);
                later(() -> registered.submit(ACCEPTING), ACCEPT_AGAIN_MILLIS);
            }
            poll();
        }

        private void poll() {
            pollHellos();
            if (!pending.isEmpty() && !polling) {
                polling = true;
                later(
                        () -> {
                            polling = false;
                            poll();
                        },
                        POLL_MILLIS);
            }
        }

        private void later(Runnable task, long millis) {
            loop.schedule(task, millis, TimeUnit.MILLISECONDS).addListener(done -> {
                if (done.cause() != null && !done.isCancelled()) {
                    log.error("internal error in a handover task", done.cause());
                }
            });
        }

        @Override
        public FileDescriptor fd() {
            return listening.descriptor();
        }

        /** Called by Netty when the loop ends. */
        @Override
        public void close() {
            pending.forEach(NewProcess::close);
            pending.clear();
            listening.close();
        }
    }

    private void add(UnixSocket connected) {
        try {
            int uid = connected.peerUid();
            if (UnixSocket.isTrusted(uid)) {
                pending.add(new NewProcess(connected));
                if (pending.size() > MAX_PENDING) {
                    pending.remove().close();
                }
                return;
            }
            reject("connection from user ID " + uid + "; only root and this process's own user are allowed");
        } catch (IOException e) {
            reject("cannot determine the user ID of the connecting process: " + e.getMessage());
        }
        connected.close();
    }

    /** Handles at most one hello per call, because each may block the loop for many seconds. */
    private void pollHellos() {
        Deque<NewProcess> stillPending = new ArrayDeque<>();
        for (NewProcess next = pending.poll(); next != null; next = pending.poll()) {
            if (!staysPending(next)) {
                if (!next.isMovingConnections()) {
                    next.close();
                }
                break;
            }
            stillPending.push(next);
        }
        stillPending.forEach(pending::addFirst);
    }

    /** Handles a connection that has sent its first line, failed or timed out; returns whether it is still pending. */
    private boolean staysPending(NewProcess channel) {
        try {
            boolean late = channel.isPastDeadline();
            Hello hello = channel.pollHello();
            if (hello != null) {
                answer(channel, hello);
            } else if (late) {
                reject("no hello within " + HandoverChannel.HELLO_TIMEOUT.toSeconds() + " s");
            } else {
                return true;
            }
        } catch (EOFException e) {
            log.trace("another process checked whether a process listens on '{}'", path, e);
        } catch (IOException e) {
            reject(String.valueOf(e.getMessage()));
        }
        return false;
    }

    private void answer(NewProcess channel, Hello hello) {
        try {
            handover(channel, hello);
        } catch (IOException e) {
            reject("process " + hello.pid() + " failed the rehearsal: " + e.getMessage());
        } catch (RuntimeException | Error e) {
            log.error("handover to process {} failed with an internal error", hello.pid(), e);
        }
    }

    /** Logs a rejection; logs repetitions at debug level, because another process could cause many of them. */
    private void reject(String reason) {
        if (reason.equals(lastRejection)) {
            log.debug("handover on '{}' rejected again: {}", path, reason);
        } else {
            log.warn("handover on '{}' rejected: {}", path, reason);
        }
        lastRejection = reason;
    }

    private void handover(NewProcess channel, Hello hello) throws IOException {
        if (taken) {
            channel.taken();
            return;
        }
        channel.rehearse(hello, path, forwarder.handoverSize());
        changes.lock();
        try {
            channel.requireWaiting();
            lastRejection = "";
            release(channel, hello);
        } finally {
            changes.unlock();
            if (taken) {
                moveConnections(channel, hello);
            }
        }
    }

    /** Moves the open connections on a thread of its own, because that may take as long as the drain timeout. */
    @SuppressWarnings("FutureReturnValueIgnored") // it does not fail
    private void moveConnections(NewProcess channel, Hello hello) {
        if (hello.version() < HandoverChannel.VERSION) {
            connectionsMoved.complete(null);
            return;
        }
        channel.moveConnections();
        Supervisor.call("sluice-connection-sender", () -> {
                    try (channel) {
                        ConnectionSender sender = new ConnectionSender(channel, forwarder, receivesConnections);
                        sender.sendAll(hello.pid(), hello.rules().equals(rules) ? drainTimeout : null);
                    }
                    return true;
                })
                .whenComplete((done, fault) -> {
                    if (fault != null) {
                        log.error("internal error while moving connections to process {}", hello.pid(), fault);
                    }
                    connectionsMoved.complete(null);
                });
    }

    private void release(NewProcess channel, Hello hello) {
        long sinceNanos = System.nanoTime();
        ForwarderHandover offered = forwarder.release();
        try {
            channel.transfer(offered);
            taken = true;
        } catch (IOException e) {
            log.warn("handover to process {} failed; continuing to serve: {}", hello.pid(), e.getMessage());
        } finally {
            if (!taken) {
                forwarder.takeBack(offered);
                channel.sendDecision(false);
            }
        }
        if (taken) {
            end(channel, hello, offered, System.nanoTime() - sinceNanos);
        }
    }

    private void end(NewProcess channel, Hello hello, ForwarderHandover offered, long tookNanos) {
        try {
            forwarder.closeReleased(offered);
            closeReleased.accept(hello.rules());
        } finally {
            // Send the reply even after a failure, because the new process is already serving and waits for the reply.
            channel.sendDecision(true);
        }
        log.info(
                "handed over {} and {} to process {} in {} ms",
                Table.count(offered.frontends().size(), "frontend"),
                Table.count(offered.flows(), "UDP flow"),
                hello.pid(),
                TimeUnit.NANOSECONDS.toMillis(tookNanos));
    }
}
