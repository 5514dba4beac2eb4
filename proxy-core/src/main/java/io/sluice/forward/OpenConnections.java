package io.sluice.forward;

import io.netty.util.concurrent.Future;
import io.sluice.balance.ServiceState;
import io.sluice.forward.EndedConnection.End;
import io.sluice.forward.Listing.Position;
import io.sluice.model.Endpoint;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/** Lists and closes open connections and flows of all loops, without delaying forwarding. Thread-safe. */
final class OpenConnections {
    private static final long LOOP_TIMEOUT_SECONDS = 10;

    private final List<Loop> loops;

    OpenConnections(List<Loop> loops) {
        this.loops = loops;
    }

    /** See {@link Forwarder#connections}. */
    Listing<ConnectionStatus> connections(ConnectionFilter filter, @Nullable Position after, int limit) {
        return list(
                loop -> loop.sessionList,
                (loop, entry) -> {
                    TcpSession session = (TcpSession) entry;
                    return filter.matches(session.service.stats.name())
                                    && filter.matchesClient(session.clientAddress, session.clientPort)
                                    && filter.matches(session.frontend.address)
                                    && filter.matches(session.endpoint())
                            ? status(session, loop.now())
                            : null;
                },
                after,
                limit);
    }

    private static ConnectionStatus status(TcpSession session, long nowNanos) {
        Relay relay = session.relay;
        return new ConnectionStatus(
                session.service.stats.name(),
                session.frontend.address,
                session.clientAddress,
                session.clientPort,
                session.endpoint(),
                state(session),
                nowNanos - session.openedNanos,
                relay == null ? 0 : relay.bytesToEndpoint(),
                relay == null ? 0 : relay.bytesToClient());
    }

    private static ConnectionStatus.State state(TcpSession session) {
        if (session.relay != null) {
            return session.relay.connectionState();
        }
        if (session.policy != null && session.policy.isAwaitingHeader()) {
            return ConnectionStatus.State.AWAITING_HEADER;
        }
        boolean holding = session.connector != null && session.connector.isHolding();
        return holding ? ConnectionStatus.State.HOLDING : ConnectionStatus.State.CONNECTING;
    }

    /** See {@link Forwarder#flows}. */
    Listing<FlowStatus> flows(ConnectionFilter filter, @Nullable Position after, int limit) {
        return list(
                loop -> loop.flowList,
                (loop, entry) -> {
                    UdpFlow flow = (UdpFlow) entry;
                    return filter.matches(flow.routing.service().stats.name())
                                    && filter.matchesClient(flow.clientAddress, flow.client.getPort())
                                    && filter.matches(flow.routing.frontend().address())
                                    && filter.matches(flow.target.endpoint)
                            ? FlowStatus.of(flow, loop.now())
                            : null;
                },
                after,
                limit);
    }

    /** Reads an entry on its loop's thread; returns null to leave it out. */
    @FunctionalInterface
    private interface Reader<T> {
        @Nullable
        T read(Loop loop, ListEntry entry);
    }

    private <T> Listing<T> list(
            Function<Loop, LoopList> listOf, Reader<T> reader, @Nullable Position after, int limit) {
        List<T> items = new ArrayList<>();
        for (Loop loop : loops) {
            if (after != null && loop.index < after.loop()) {
                continue;
            }
            long start = after != null && loop.index == after.loop() ? after.number() : 0;
            // The last entry on this page; set on the loop's thread, which has ended its walk before this is read.
            long[] last = {start};
            await(loop, LoopWalk.start(loop, listOf.apply(loop), entry -> {
                if (entry.number > start) {
                    T item = reader.read(loop, entry);
                    if (item != null) {
                        if (items.size() == limit) {
                            return false;
                        }
                        items.add(item);
                    }
                    last[0] = entry.number;
                }
                return true;
            }));
            if (items.size() == limit) {
                return new Listing<>(items, new Position(loop.index, last[0]));
            }
        }
        return new Listing<>(items, null);
    }

    /** Resets the connections and ends the flows that a filter matches. */
    void close(ConnectionFilter filter) {
        Predicate<ListEntry> visitor = entry -> {
            if (entry instanceof TcpSession session) {
                if (matches(filter, session.service, session.endpoint())) {
                    session.end(End.REMOVED, true);
                }
            } else if (entry instanceof UdpFlow flow && matches(filter, flow.routing.service(), flow.target.endpoint)) {
                flow.end(End.REMOVED);
            }
            return true;
        };
        for (Loop loop : loops) {
            await(loop, LoopWalk.start(loop, loop.sessionList, visitor));
            await(loop, LoopWalk.start(loop, loop.flowList, visitor));
        }
    }

    private static boolean matches(ConnectionFilter filter, ServiceState service, @Nullable Endpoint endpoint) {
        return filter.matches(service.stats.name()) && filter.matches(endpoint);
    }

    private static void await(Loop loop, Future<?> walk) {
        if (!walk.awaitUninterruptibly(LOOP_TIMEOUT_SECONDS, TimeUnit.SECONDS)) {
            throw new IllegalStateException(
                    "event loop " + loop.index + " has not responded for " + LOOP_TIMEOUT_SECONDS + " s");
        }
        Throwable cause = walk.cause();
        // A loop that has ended has no connections.
        if (cause != null && !(cause instanceof RejectedExecutionException)) {
            throw new IllegalStateException("internal error in event loop " + loop.index, cause);
        }
    }
}
