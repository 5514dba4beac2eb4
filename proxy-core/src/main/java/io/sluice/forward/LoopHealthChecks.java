package io.sluice.forward;

import io.netty.channel.IoEvent;
import io.netty.channel.IoRegistration;
import io.netty.channel.epoll.EpollIoEvent;
import io.netty.channel.epoll.EpollIoHandle;
import io.netty.channel.epoll.EpollIoOps;
import io.sluice.balance.EndpointTarget;
import io.sluice.socket.Descriptors;
import io.sluice.socket.Errno;
import io.sluice.socket.InetSocket;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.PriorityQueue;
import java.util.concurrent.ThreadLocalRandom;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The active health checks of one loop. Used only by the loop's thread unless stated otherwise.
 *
 * <p>The first check of an endpoint is at a random time within the interval, so that the checks of a large Service do
 * not all start at once. At most 64 checks are in flight; others are late. While descriptors are scarce, none starts.
 */
final class LoopHealthChecks {
    private static final Logger log = LoggerFactory.getLogger(LoopHealthChecks.class);

    private static final int MAX_IN_FLIGHT = 64;

    /** Interval at which checks start and time out. */
    private static final long TICK_MILLIS = 50;

    private final Loop loop;
    /** Ordered by time. The difference is compared, because nanosecond times may overflow. */
    private final PriorityQueue<Check> waiting = new PriorityQueue<>((a, b) -> Long.signum(a.nextNanos - b.nextNanos));

    private final List<Attempt> inFlight = new ArrayList<>();
    private boolean ticking;

    LoopHealthChecks(Loop loop) {
        this.loop = loop;
    }

    /** Starts to check an endpoint regularly. Thread-safe. */
    Check start(EndpointTarget target, long intervalNanos, long timeoutNanos) {
        Check check = new Check(target, intervalNanos, timeoutNanos);
        check.nextNanos = loop.now() + ThreadLocalRandom.current().nextLong(intervalNanos);
        loop.executor.execute(() -> {
            waiting.add(check);
            startTicking();
        });
        return check;
    }

    /** Checks an endpoint once, if it allows an attempt: as the trial connection of an ejected endpoint. Thread-safe. */
    void checkOnce(EndpointTarget target, long timeoutNanos) {
        loop.executor.execute(() -> {
            if (inFlight.size() < MAX_IN_FLIGHT && !Descriptors.areScarce() && target.allowsAttempt(loop.now())) {
                Check check = new Check(target, 0, timeoutNanos);
                begin(check, loop.now());
                startTicking();
            }
        });
    }

    private void startTicking() {
        if (!ticking) {
            ticking = true;
            loop.timeouts.later(this::tick, TICK_MILLIS);
        }
    }

    private void tick() {
        ticking = false;
        if (waiting.isEmpty() && inFlight.isEmpty()) {
            return;
        }
        // This comes first, so that an exception below does not stop the ticks.
        startTicking();
        long now = loop.now();
        for (Attempt attempt : List.copyOf(inFlight)) {
            attempt.checkTimeout(now);
        }
        for (Check next = waiting.peek(); next != null; next = waiting.peek()) {
            boolean due = now - next.nextNanos >= 0 && inFlight.size() < MAX_IN_FLIGHT && !Descriptors.areScarce();
            if (!due && !next.cancelled) {
                return;
            }
            waiting.remove();
            begin(next, now);
        }
    }

    private void begin(Check check, long nowNanos) {
        if (check.cancelled) {
            return;
        }
        // Before the attempt, because that may fail immediately. A check that takes longer than the interval is late.
        check.nextNanos = nowNanos + check.intervalNanos;
        try {
            Attempt attempt = new Attempt(
                    check, InetSocket.stream(check.target.endpoint.address().family()), nowNanos);
            inFlight.add(attempt);
            attempt.connect();
        } catch (IOException e) {
            waitForNext(check);
            check.failed(Errno.of(e));
        }
    }

    private void waitForNext(Check check) {
        if (!check.cancelled && check.intervalNanos > 0) {
            waiting.add(check);
        }
    }

    /** The checks of one endpoint; only one check if the interval is 0. */
    final class Check {
        private final EndpointTarget target;
        private final long intervalNanos;
        private final long timeoutNanos;
        private long nextNanos;
        private volatile boolean cancelled;

        private Check(EndpointTarget target, long intervalNanos, long timeoutNanos) {
            this.target = target;
            this.intervalNanos = intervalNanos;
            this.timeoutNanos = timeoutNanos;
        }

        /** Stops the checks of this endpoint; a check in flight has no result. Thread-safe. */
        void cancel() {
            // The queue drops the check when it is due, because a search for it would take time for each endpoint.
            cancelled = true;
        }

        private void succeeded() {
            if (!cancelled) {
                target.answered();
            }
        }

        private void failed(int errno) {
            ResourceExhaustion.Kind resource = ResourceExhaustion.Kind.errno(errno);
            if (resource != null) {
                // This node is at fault, not the endpoint.
                loop.exhaustion.note(resource);
            } else if (!cancelled && errno == Errno.ETIMEDOUT) {
                target.timedOut(1, Errno.text(errno), loop.now());
            } else if (!cancelled) {
                target.refused(Errno.text(errno), loop.now());
            }
        }
    }

    /** A check in flight, with its socket. */
    private final class Attempt implements EpollIoHandle {
        private final Check check;
        private final InetSocket socket;
        private final long startNanos;
        private @Nullable IoRegistration registration;
        private boolean over;

        Attempt(Check check, InetSocket socket, long startNanos) {
            this.check = check;
            this.socket = socket;
            this.startNanos = startNanos;
        }

        void connect() {
            try {
                if (loop.transparentSockets != null) {
                    loop.transparentSockets.prioritize(socket, check.target.endpoint);
                }
                socket.connect(check.target.socketAddress());
                registration = loop.register(this, EpollIoOps.EPOLLOUT);
            } catch (IOException e) {
                failed(Errno.of(e));
            } catch (RuntimeException | Error fault) {
                failInternally(fault);
            }
        }

        void checkTimeout(long nowNanos) {
            if (check.cancelled) {
                end();
            } else if (nowNanos - startNanos >= check.timeoutNanos) {
                failed(Errno.ETIMEDOUT);
            }
        }

        @Override
        public void handle(IoRegistration source, IoEvent ioEvent) {
            if (over) {
                // The event was queued before the check ended.
                return;
            }
            try {
                if ((((EpollIoEvent) ioEvent).ops().value() & (EpollFlags.ERR | EpollFlags.HUP)) == 0) {
                    end();
                    check.succeeded();
                } else {
                    int errno = socket.getSoError();
                    failed(errno == 0 ? Errno.ECONNREFUSED : errno);
                }
            } catch (IOException e) {
                failed(Errno.of(e));
            } catch (RuntimeException | Error fault) {
                // If this were rethrown, Netty would pause the loop for a second.
                failInternally(fault);
            }
        }

        private void failed(int errno) {
            end();
            check.failed(errno);
        }

        private void failInternally(Throwable fault) {
            log.error("internal error in the health check of {}", check.target, fault);
            end();
        }

        /** Resets the connection, which otherwise would occupy its local port for a minute (TIME_WAIT). */
        private void end() {
            if (over) {
                return;
            }
            over = true;
            inFlight.remove(this);
            waitForNext(check);
            socket.resetOnClose();
            loop.closeLater(() -> {
                socket.closeQuietly();
                if (registration != null) {
                    registration.cancel();
                }
            });
        }

        /** Called by Netty when the loop ends. */
        @Override
        public void close() {
            check.cancelled = true;
            end();
        }

        @Override
        public InetSocket fd() {
            return socket;
        }
    }
}
