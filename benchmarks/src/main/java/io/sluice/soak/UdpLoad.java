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
 * Every UDP client and server of the soak. Servers send back what they get; where there is room, bytes 4 to 7 of the
 * answer are the endpoint's number. Nothing is ever asked twice.
 *
 * <p>Clients bind ports below the kernel's range for local ports: that range the proxy needs for its own flows.
 */
final class UdpLoad extends Reactor {
    private static final int HEADER_BYTES = 8;
    private static final int LARGEST = 65_507;
    private static final long PATIENCE_NANOS = TimeUnit.SECONDS.toNanos(5);
    private static final int FIRST_PORT = 10_000;
    private static final int PORTS = 20_000;
    private static final int[] EDGES = {0, 1, 7, 8, 511, 512, 1_472, 1_473, 2_047, 2_048, 2_049, 32_768, 65_506, LARGEST
    };

    private final Feed feed;
    private final Random random;
    private final ByteBuffer buffer = ByteBuffer.allocateDirect(64 << 10);
    /** Those that wait for their answer; all wait equally long, so the first is the oldest. */
    private final Deque<Query> waiting = new ArrayDeque<>();

    private final Set<Query> answered = new HashSet<>();
    private final Map<String, Endpoint> pinned = new HashMap<>();
    private int nextKey;
    private volatile int open;

    /** One datagram, its client, and what becomes of the answer. */
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
                buffer.put(Pattern.slice(key, 0, size - HEADER_BYTES));
            } else {
                buffer.put(Pattern.slice(size, 0, size));
            }
            waiting.add(this);
            if (channel.send(buffer.flip(), service.frontend()) != size) {
                tally.fault(Fault.SOAK, "the client's own socket did not take a datagram of " + size);
            }
        }

        @Override
        public void ready(SelectionKey selected) {
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
            boolean right = buffer.remaining() == size && from.equals(service.frontend());
            if (right && size >= HEADER_BYTES) {
                right = buffer.getInt() == key;
                check(feed.endpoints.get(buffer.getInt()));
                right &= Pattern.matches(buffer, key, 0);
            } else {
                right &= Pattern.matches(buffer, size, 0);
            }
            if (!right) {
                tally.fault(Fault.BYTES, this + ": wrong answer");
            }
            tally.add(load, 1);
            finish();
        }

        private void check(Endpoint endpoint) {
            if (endpoint.service.number() != service.number() || endpoint.wrongAt(sentNanos)) {
                tally.fault(Fault.ENDPOINT, this + ": answered by " + endpoint);
            }
            if (service.role() == Role.KEEPING_CLIENTS) {
                Endpoint before = pinned.putIfAbsent(source.getHostString(), endpoint);
                if (before != null && !before.equals(endpoint)) {
                    tally.fault(Fault.ENDPOINT, this + ": went to " + endpoint.address + ", not " + before.address);
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

    /** A client that asks again and again from one port; its endpoint may change only if it has left the list. */
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
                if (before.rightSince(lastNanos - Feed.GRACE_NANOS)) {
                    tally.fault(Fault.ENDPOINT, query + ": left " + before.address + ", which is in the list");
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
                    tally.fault(Fault.SOAK, "a server's own socket did not take an answer of " + size);
                }
                from = channel.receive(buffer.clear());
            }
        });
    }

    // ---- loads; before start()

    void everything(double rate) throws IOException {
        queries(800 * rate, feed.with(false, Role.CHURNING));
        queries(300 * rate, feed.with(false, Role.STEADY).subList(0, 1));
        queries(100 * rate, feed.with(false, Role.KEEPING_CLIENTS));
        for (Service service : feed.with(false, Role.LEAVING)) {
            for (int i = 0; i < 20; i++) {
                new Flow(service).ask();
            }
        }
        Service sizes = feed.with(false, Role.STEADY).get(1);
        InetSocketAddress source = source(++nextKey);
        // Not connected: Java would not send an empty datagram.
        size(sizes, source, DatagramChannel.open().bind(source), 0);
    }

    /** Each from a port of its own. */
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

    /** One size after the other: the edges, then any. */
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
                oldest != null && now - oldest.sentNanos > PATIENCE_NANOS;
                oldest = waiting.peek()) {
            tally.fault(Fault.LOST, oldest.toString());
            oldest.finish();
        }
        open = waiting.size();
        after(100, this::sweep);
    }

    /** Queries without an answer; a tenth of a second old. */
    int open() {
        return open;
    }
}
