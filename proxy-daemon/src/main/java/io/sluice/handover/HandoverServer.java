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
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Lock;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Where a new process asks for what this one serves with.
 *
 * <p>One thread does everything. Any number of processes may connect and say nothing: each has its own time for its first
 * line, and the oldest are closed when there are many. Those that have said hello are served one by one.
 */
public final class HandoverServer implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(HandoverServer.class);

    private static final int MOST_WAITING = 16;
    private static final long POLL_MILLIS = 5;
    private static final long ACCEPT_AGAIN_MILLIS = 1_000;

    private static final EpollIoOps ACCEPTING = EpollIoOps.EPOLLIN;
    private static final EpollIoOps PAUSED = EpollIoOps.EPOLLERR;

    private final Path path;
    private final Forwarder forwarder;
    private final Supervisor supervisor;
    private final Lock changes;
    private final Consumer<String> closeReleased;
    private boolean taken;
    private @Nullable UnixListener listener;
    private @Nullable EventLoops loops;

    // Used on the loop only.
    private final ArrayDeque<NewProcess> waiting = new ArrayDeque<>();
    private boolean polling;
    /** Why the last one was refused; empty after one that was not. */
    private String refusal = "";

    /**
     * @param changes held while it is not decided which process serves: nothing is to change then
     * @param closeReleased releases, with that lock held, what else a successor needs; is given how it redirects packets
     */
    public HandoverServer(
            Path path, Forwarder forwarder, Supervisor supervisor, Lock changes, Consumer<String> closeReleased) {
        this.path = path;
        this.forwarder = forwarder;
        this.supervisor = supervisor;
        this.changes = changes;
        this.closeReleased = closeReleased;
    }

    /**
     * Listens. If that fails, it is logged, and there will be no hand-over.
     *
     * @param successor whether a predecessor's socket, which may still answer, is to be replaced
     */
    public synchronized void open(boolean successor) {
        try {
            Files.createDirectories(path.toAbsolutePath().getParent());
            if (!successor && OldProcess.isServed(path)) {
                log.warn("no successor can take over without a gap: another process answers at '{}'", path);
                return;
            }
            UnixListener opened = UnixListener.bind(path);
            listener = opened;
            EventLoops started = EventLoops.start(supervisor, "sluice-hand-over", 1, EpollIoHandler.newFactory());
            loops = started;
            new Acceptor(opened, started.group().next()).start();
        } catch (IOException | RuntimeException e) {
            close();
            log.warn("no successor can take over without a gap: '{}' cannot be opened: {}", path, e.toString());
        }
    }

    /** No process takes over from now on. */
    @Override
    @SuppressWarnings("FutureReturnValueIgnored") // a hand-over that is going on need not be waited for
    public synchronized void close() {
        try {
            if (listener != null) {
                listener.removeFile();
            }
        } catch (IOException e) {
            log.warn("'{}' could not be removed: {}", path, e.toString());
        }
        if (loops != null) {
            loops.close(Duration.ZERO, Duration.ZERO);
        }
    }

    /** Accepts on the loop, and looks for hellos while any process is still to say one. */
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
                throw new IOException("it cannot be watched", registered.cause());
            }
            registration = registered.getNow();
            registration.submit(ACCEPTING);
        }

        @Override
        public void handle(IoRegistration registered, IoEvent event) {
            try {
                for (int i = 0; i < MOST_WAITING; i++) {
                    UnixSocket next = listening.accept(HandoverChannel.HELLO_LIMIT);
                    if (next == null) {
                        break;
                    }
                    add(next);
                }
            } catch (IOException e) {
                // A lack of descriptors, which passes.
                refuse("cannot accept: " + e.getMessage());
                registered.submit(PAUSED);
                later(() -> registered.submit(ACCEPTING), ACCEPT_AGAIN_MILLIS);
            }
            poll();
        }

        private void poll() {
            pollHellos();
            if (!waiting.isEmpty() && !polling) {
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
                    log.error("a task of the hand-over failed", done.cause());
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
            waiting.forEach(NewProcess::close);
            waiting.clear();
            listening.close();
        }
    }

    private void add(UnixSocket connected) {
        try {
            int uid = connected.peerUid();
            if (UnixSocket.isTrusted(uid)) {
                waiting.add(new NewProcess(connected));
                if (waiting.size() > MOST_WAITING) {
                    waiting.remove().close();
                }
                return;
            }
            refuse("connection from user id " + uid + "; only root and the own user are allowed");
        } catch (IOException e) {
            refuse("the user of a connection is unknown: " + e.getMessage());
        }
        connected.close();
    }

    /** Deals with one hello at most: that may take many seconds, in which the loop does nothing else and counts as stuck. */
    private void pollHellos() {
        Deque<NewProcess> silent = new ArrayDeque<>();
        for (NewProcess next = waiting.poll(); next != null; next = waiting.poll()) {
            if (!isSilent(next)) {
                next.close();
                break;
            }
            silent.push(next);
        }
        silent.forEach(waiting::addFirst);
    }

    /** Deals with a connection unless it still has time to say something. */
    private boolean isSilent(NewProcess channel) {
        try {
            boolean late = channel.isLate();
            Hello hello = channel.pollHello();
            if (hello != null) {
                answer(channel, hello);
            } else if (late) {
                refuse("no hello within " + HandoverChannel.HELLO_LIMIT.toSeconds() + " s");
            } else {
                return true;
            }
        } catch (EOFException e) {
            log.trace("a process looked whether '{}' is served", path, e);
        } catch (IOException e) {
            refuse(String.valueOf(e.getMessage()));
        }
        return false;
    }

    private void answer(NewProcess channel, Hello hello) {
        try {
            handOver(channel, hello);
        } catch (IOException e) {
            refuse("process " + hello.pid() + " did not prove that it can serve: " + e.getMessage());
        } catch (RuntimeException | Error e) {
            log.error("a hand-over failed", e);
        }
    }

    /** Logs what another process may repeat as often as it likes, once. */
    private void refuse(String reason) {
        if (reason.equals(refusal)) {
            log.debug("hand-over on '{}' refused again: {}", path, reason);
        } else {
            log.warn("hand-over on '{}' refused: {}", path, reason);
        }
        refusal = reason;
    }

    private void handOver(NewProcess channel, Hello hello) throws IOException {
        if (taken) {
            channel.taken();
            return;
        }
        channel.prove(hello, path, forwarder.handoverSize());
        changes.lock();
        try {
            channel.requireWaiting();
            refusal = "";
            release(channel, hello);
        } finally {
            changes.unlock();
        }
    }

    private void release(NewProcess channel, Hello hello) {
        long sinceNanos = System.nanoTime();
        ForwarderHandover offered = forwarder.release();
        try {
            channel.give(offered);
            taken = true;
        } catch (IOException e) {
            log.warn("process {} wanted to take over and did not; going on: {}", hello.pid(), e.getMessage());
        } finally {
            if (!taken) {
                forwarder.takeBack(offered);
                channel.decide(false);
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
            // Whatever failed here: the new process serves, and must not end because it hears nothing.
            channel.decide(true);
        }
        log.info(
                "process {} has taken over {} and {} in {} ms",
                hello.pid(),
                Table.count(offered.frontends().size(), "address"),
                Table.count(offered.flows(), "UDP flow"),
                TimeUnit.NANOSECONDS.toMillis(tookNanos));
    }
}
