package io.sluice.soak;

import io.sluice.soak.Feed.Endpoint;
import io.sluice.soak.Feed.Role;
import io.sluice.soak.Feed.Service;
import io.sluice.soak.Tally.Fault;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.DatagramChannel;
import java.nio.channels.SelectionKey;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Runs all UDP clients and servers of the soak test. Servers send back what they receive; in datagrams of at least 8
 * bytes, bytes 4 to 7 of the response are the endpoint's id. Clients never resend.
 *
 * <p>Clients bind ports below the kernel's ephemeral port range, which Sluice needs for its flows.
 */
final class UdpLoad extends Reactor {
    private static final int HEADER_BYTES = 8;
    private static final int LARGEST = 65_507;
    private static final long TIMEOUT_NANOS = TimeUnit.SECONDS.toNanos(5);
    private static final int FIRST_PORT = 10_000;
    private static final int PORTS = 20_000;
    private static final int[] EDGES = {0, 1, 7, 8, 511, 512, 1_472, 1_473, 2_047, 2_048, 2_049, 32_768, 65_506, LARGEST
    };

    private final Feed feed;
    private final Random random;
    private final ByteBuffer buffer = ByteBuffer.allocateDirect(64 << 10);
    /** Queries without a response, oldest first; all have the same timeout. */
    private final Deque<Query> waiting = new ArrayDeque<>();

    private final Set<Query> answered = new HashSet<>();
    private final Map<String, Endpoint> affinity = new HashMap<>();
    private int nextKey;
    private volatile int open;

    /** One datagram of a client, and the check of its response. */
    private final class Query implements Handler {
        final String load;
        final Service service;
        final InetSocketAddress source;
        final DatagramChannel channel;
        final int key = ++nextKey;
        final int size;
        final long sentNanos = System.nanoTime();
        private final Runnable then;
        private final @Nullable Flow flow;

        Query(String load, Service service, InetSocketAddress source, DatagramChannel channel, int size, Runnable then)
                throws IOException {
            this(load, service, source, channel, size, then, null);
        }

        Query(
                String load,
                Service service,
                InetSocketAddress source,
                DatagramChannel channel,
                int size,
                Runnable then,
                @Nullable Flow flow)
                throws IOException {
            this.load = load;
            this.service = service;
            this.source = source;
            this.channel = channel;
            this.size = size;
            this.then = then;
            this.flow = flow;
            watch(channel, SelectionKey.OP_READ, this);
            buffer.clear();
            if (size >= HEADER_BYTES) {
                buffer.putInt(key).putInt(0);
                buffer.put(BytePattern.slice(key, 0, size - HEADER_BYTES));
            } else {
                buffer.put(BytePattern.slice(size, 0, size));
            }
            waiting.add(this);
            if (channel.send(buffer.flip(), service.frontend()) != size) {
                tally.fault(Fault.SOAK, "the client's socket did not send a datagram of " + size + " bytes");
            }
        }

        @Override
        public void onReady(SelectionKey selected) {
            buffer.clear();
            SocketAddress from;
            try {
                from = channel.receive(buffer);
            } catch (IOException e) {
                tally.fault(Fault.LOST, this + ": " + e.getMessage());
                finish();
                return;
            }
            if (from == null) {
                return;
            }
            buffer.flip();
            boolean valid = buffer.remaining() == size && from.equals(service.frontend());
            if (valid && size >= HEADER_BYTES) {
                valid = buffer.getInt() == key;
                check(feed.endpoints.get(buffer.getInt()));
                valid &= BytePattern.matches(buffer, key, 0);
            } else {
                valid &= BytePattern.matches(buffer, size, 0);
            }
            if (!valid) {
                tally.fault(Fault.BYTES, this + ": wrong response bytes");
            }
            tally.add(load, 1);
            finish();
        }

        private void check(Endpoint endpoint) {
            if (endpoint.service.number() != service.number() || endpoint.wasUnlistedAt(sentNanos)) {
                tally.fault(Fault.ENDPOINT, this + ": answered by unlisted " + endpoint);
            }
            if (service.role() == Role.SESSION_AFFINITY) {
                Endpoint before = affinity.putIfAbsent(source.getHostString(), endpoint);
                if (before != null && !before.equals(endpoint)) {
                    tally.fault(
                            Fault.ENDPOINT,
                            this + ": was forwarded to " + endpoint.address + ", not to " + before.address
                                    + " of its session affinity");
                }
            }
            if (flow != null) {
                flow.answeredBy(endpoint, this);
            }
        }

        void finish() {
            answered.add(this);
            while (!waiting.isEmpty() && answered.remove(waiting.peek())) {
                waiting.remove();
            }
            then.run();
        }

        @Override
        public String toString() {
            return "%s of %d bytes from %s to %s, %d ms old"
                    .formatted(
                            load,
                            size,
                            source,
                            service.name(),
                            TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - sentNanos));
        }
    }

    /** A client that repeatedly sends from one port. Its endpoint may change only if the previous one was unlisted. */
    private final class Flow {
        private final Service service;
        private final InetSocketAddress source;
        private final DatagramChannel channel;
        private @Nullable Endpoint endpoint;
        private long lastNanos;

        Flow(Service service) throws IOException {
            this.service = service;
            this.source = source(++nextKey);
            this.channel = connected(source, service);
        }

        void ask() {
            if (ending) {
                closeQuietly(channel);
                return;
            }
            try {
                new Query("flow datagrams", service, source, channel, 8 + random.nextInt(1_200), this::askLater, this);
            } catch (IOException e) {
                fault(e);
            }
        }

        private void askLater() {
            after(100 + random.nextInt(200), this::ask);
        }

        void answeredBy(Endpoint now, Query query) {
            Endpoint before = endpoint;
            if (before != null && !before.equals(now)) {
                tally.add("flows moved", 1);
                if (before.wasListedSince(lastNanos - Feed.GRACE_NANOS)) {
                    tally.fault(Fault.ENDPOINT, query + ": moved away from " + before.address + ", which is listed");
                }
            }
            endpoint = now;
            lastNanos = query.sentNanos;
        }
    }

    UdpLoad(Feed feed, long seed, Tally tally) throws IOException {
        super("soak-udp", tally);
        this.feed = feed;
        this.random = new Random(seed);
        for (Endpoint endpoint : feed.endpoints) {
            if (!endpoint.service.tcp()) {
                listen(endpoint);
            }
        }
        sweep();
    }

    private void listen(Endpoint endpoint) throws IOException {
        DatagramChannel channel = DatagramChannel.open();
        channel.setOption(StandardSocketOptions.SO_RCVBUF, 4 << 20);
        channel.bind(endpoint.address);
        watch(channel, SelectionKey.OP_READ, key -> {
            buffer.clear();
            SocketAddress from = channel.receive(buffer);
            while (from != null) {
                if (buffer.position() >= HEADER_BYTES) {
                    buffer.putInt(4, endpoint.id);
                }
                int size = buffer.flip().remaining();
                if (channel.send(buffer, from) != size) {
                    tally.fault(Fault.SOAK, "a server's socket did not send a response of " + size + " bytes");
                }
                from = channel.receive(buffer.clear());
            }
        });
    }

    // ---- loads; before start()

    void everything(double rate) throws IOException {
        queries(800 * rate, feed.with(false, Role.CHURNING));
        queries(300 * rate, feed.with(false, Role.STEADY).subList(0, 1));
        queries(100 * rate, feed.with(false, Role.SESSION_AFFINITY));
        for (Service service : feed.with(false, Role.LEAVING)) {
            for (int i = 0; i < 20; i++) {
                new Flow(service).ask();
            }
        }
        Service sizes = feed.with(false, Role.STEADY).get(1);
        InetSocketAddress source = source(++nextKey);
        // Not connected: on a connected channel, Java does not send empty datagrams.
        size(sizes, source, DatagramChannel.open().bind(source), 0);
    }

    /** Sends queries at a rate, each from a new port. */
    void queries(double perSecond, List<Service> services) {
        paced(perSecond, () -> {
            try {
                Service service = services.get(random.nextInt(services.size()));
                InetSocketAddress source = source(++nextKey);
                DatagramChannel channel = connected(source, service);
                int size = HEADER_BYTES + random.nextInt(500);
                new Query("queries", service, source, channel, size, () -> closeQuietly(channel));
            } catch (IOException e) {
                fault(e);
            }
        });
    }

    /** Sends one datagram after the other: first of the boundary sizes, then of random sizes. */
    private void size(Service service, InetSocketAddress source, DatagramChannel channel, int turn) {
        if (ending) {
            closeQuietly(channel);
            return;
        }
        int size = turn < EDGES.length ? EDGES[turn] : random.nextInt(LARGEST + 1);
        try {
            new Query(
                    "sizes",
                    service,
                    source,
                    channel,
                    size,
                    () -> after(20, () -> size(service, source, channel, turn + 1)));
        } catch (IOException e) {
            fault(e);
        }
    }

    private static InetSocketAddress source(int number) {
        int address = number / PORTS % 200 + 1;
        return new InetSocketAddress("127.99.2." + address, FIRST_PORT + number % PORTS);
    }

    private static DatagramChannel connected(InetSocketAddress source, Service service) throws IOException {
        DatagramChannel channel = DatagramChannel.open();
        try {
            channel.bind(source);
            return channel.connect(service.frontend());
        } catch (IOException e) {
            channel.close();
            throw e;
        }
    }

    private void closeQuietly(DatagramChannel channel) {
        try {
            channel.close();
        } catch (IOException e) {
            fault(e);
        }
    }

    private void sweep() {
        long now = System.nanoTime();
        for (Query oldest = waiting.peek();
                oldest != null && now - oldest.sentNanos > TIMEOUT_NANOS;
                oldest = waiting.peek()) {
            tally.fault(Fault.LOST, oldest.toString());
            oldest.finish();
        }
        open = waiting.size();
        after(100, this::sweep);
    }

    /** Returns the number of queries without a response, at most a tenth of a second old. */
    int open() {
        return open;
    }
}
