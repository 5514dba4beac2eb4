package io.sluice.soak;

import io.sluice.soak.Exchange.CloseMode;
import io.sluice.soak.Feed.Endpoint;
import io.sluice.soak.Feed.Role;
import io.sluice.soak.Feed.Service;
import io.sluice.soak.Tally.Fault;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Runs all TCP clients and TCP servers of the soak test. A client is done when both sides have received the expected
 * bytes and then FIN or a reset.
 */
final class TcpLoad extends Reactor {
    private static final int CLIENT_ADDRESSES = 200;
    private static final int THINK_MILLIS = 150;
    private static final int ROUNDS = 16;

    final ByteBuffer buffer = ByteBuffer.allocateDirect(BytePattern.MAX_SLICE_BYTES);
    private final Feed feed;
    private final Random random;
    private final List<Service> churning;
    private final List<Service> all;
    private final Map<Integer, TcpClient> clients = new HashMap<>();
    private final Map<InetAddress, Endpoint> affinity = new HashMap<>();
    private final Set<TcpServer> servers = new HashSet<>();
    private final Map<Endpoint, SelectionKey> listeners = new HashMap<>();
    private int nextKey;
    private int nextAddress;
    private volatile int openClients;
    private volatile int openServers;

    TcpLoad(Feed feed, long seed, Tally tally) throws IOException {
        super("soak-tcp", tally);
        this.feed = feed;
        this.random = new Random(seed);
        this.churning = feed.with(true, Role.CHURNING);
        this.all = feed.services.stream().filter(Service::tcp).toList();
        for (Endpoint endpoint : feed.endpoints) {
            if (endpoint.service.tcp()) {
                listen(endpoint);
            }
        }
        sweep();
    }

    // ---- servers

    private void listen(Endpoint endpoint) throws IOException {
        ServerSocketChannel channel = ServerSocketChannel.open();
        channel.bind(endpoint.address, endpoint.service.role() == Role.FLAKY ? 2 : 512);
        listeners.put(endpoint, watch(channel, SelectionKey.OP_ACCEPT, key -> {
            SocketChannel accepted = channel.accept();
            while (accepted != null) {
                servers.add(new TcpServer(this, endpoint, accepted));
                accepted = channel.accept();
            }
        }));
    }

    /**
     * For 3 s, one endpoint of each flaky service rejects connections, and another does not accept, so that its queue
     * fills up.
     */
    private void makeFlaky(int turn) {
        try {
            for (Service service : feed.with(true, Role.FLAKY)) {
                int size = service.endpoints().size();
                Endpoint closing = service.endpoints().get(turn % size);
                SelectionKey silent = listeners.get(service.endpoints().get((turn + 1) % size));
                SelectionKey closed = listeners.get(closing);
                if (silent == null || closed == null) {
                    return;
                }
                silent.interestOps(0);
                closed.channel().close();
                after(3_000, () -> {
                    silent.interestOps(SelectionKey.OP_ACCEPT);
                    try {
                        listen(closing);
                    } catch (IOException e) {
                        fault(e);
                    }
                });
            }
        } catch (IOException e) {
            fault(e);
        }
        if (!ending) {
            after(5_000, () -> makeFlaky(turn + 1));
        }
    }

    // ---- loads; call before start() or on the loop

    /** Starts all loads. */
    void everything(int connections, double rate) {
        for (int i = 0; i < connections; i++) {
            Service service = churning.get(i % churning.size());
            after(i * 5L, () -> begin("long-lived", service, longLived(), 0));
        }
        for (int i = 0; i < 20; i++) {
            after(i * 5L, () -> begin("long-lived", pick(feed.with(Role.VANISHING)), longLived(), 0));
        }
        paced(200 * rate, () -> beginShort(pick(all)));
        paced(1.5 * rate, () -> begin("bulk", pick(churning), Exchange.bulk(key(), random), 0));
        paced(1 * rate, () -> begin("stalled", pick(churning), Exchange.stalled(key(), random), 0));
        paced(10 * rate, () -> begin("half-closed", pick(churning), half(), 0));
        paced(10 * rate, () -> begin("resets", pick(churning), reset(), 0));
        paced(
                5 * rate,
                () -> begin(
                        "silent",
                        pick(churning),
                        Exchange.of(key(), CloseMode.SILENT, 0, 0),
                        200 + random.nextInt(5_000)));
        after(2_000, () -> makeFlaky(0));
    }

    /** Starts a number of short connections, with a limit of concurrent ones. */
    void shortOnly(int count, int atOnce) {
        int[] left = {count};
        Service service = feed.with(true, Role.STEADY).get(0);
        Runnable[] fill = new Runnable[1];
        fill[0] = () -> {
            while (left[0] > 0 && clients.size() < atOnce) {
                left[0]--;
                beginShort(service);
            }
            if (left[0] > 0) {
                after(1, fill[0]);
            } else {
                ending = true;
            }
        };
        after(0, fill[0]);
    }

    private void beginShort(Service service) {
        CloseMode closeMode = nextKey % 2 == 0 ? CloseMode.CLIENT_CLOSES_FIRST : CloseMode.SERVER_CLOSES_FIRST;
        begin("short", service, Exchange.of(key(), closeMode, random.nextInt(1_000), 1 + random.nextInt(3_000)), 0);
    }

    private Exchange longLived() {
        int requestBytes = random.nextInt(2_000);
        int responseBytes = 1 + random.nextInt(random.nextInt(20) == 0 ? 100_000 : 2_000);
        CloseMode last = random.nextBoolean() ? CloseMode.CLIENT_CLOSES_FIRST : CloseMode.SERVER_CLOSES_FIRST;
        return Exchange.of(key(), ending ? last : CloseMode.KEEP_OPEN, requestBytes, responseBytes);
    }

    private Exchange half() {
        CloseMode closeMode = random.nextBoolean() ? CloseMode.CLIENT_HALF_CLOSES : CloseMode.SERVER_HALF_CLOSES;
        return Exchange.of(key(), closeMode, random.nextInt(200_000), random.nextInt(200_000));
    }

    private Exchange reset() {
        return Exchange.reset(key(), random.nextBoolean() ? CloseMode.CLIENT_RESETS : CloseMode.SERVER_RESETS, random);
    }

    private Service pick(List<Service> services) {
        return services.get(random.nextInt(services.size()));
    }

    private int key() {
        return ++nextKey;
    }

    private void begin(String load, Service service, Exchange exchange, int holdMillis) {
        try {
            SocketChannel channel = SocketChannel.open();
            channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
            int address = nextAddress++ % CLIENT_ADDRESSES;
            channel.bind(new InetSocketAddress("127.99.1." + (address + 1), 0));
            TcpClient client = new TcpClient(this, load, service, channel, exchange);
            clients.put(exchange.key(), client);
            client.connect();
            if (holdMillis > 0) {
                after(holdMillis, client::endSilence);
            }
        } catch (IOException e) {
            fault(e);
        }
    }

    // ---- for the connections

    /** Schedules the next exchange of a long-lived connection. */
    void next(TcpClient client) {
        after(random.nextInt(2 * THINK_MILLIS), () -> {
            if (client.isOpen()) {
                Exchange exchange = longLived();
                clients.put(exchange.key(), client);
                client.startExchange(exchange);
            }
        });
    }

    void forget(int key) {
        clients.remove(key);
    }

    void forget(TcpServer server) {
        servers.remove(server);
    }

    /** Returns the client whose key a server has read, and checks that this endpoint was a valid choice. */
    @Nullable
    TcpClient clientOf(Endpoint endpoint, int key, boolean first) {
        TcpClient client = clients.get(key);
        if (client == null || client.service.number() != endpoint.service.number()) {
            tally.fault(Fault.BYTES, "key " + key + " at " + endpoint.address + " is " + client);
            return null;
        }
        if (first) {
            endpoint.connections++;
            if (endpoint.wasUnlistedAt(client.openedNanos)) {
                tally.fault(Fault.ENDPOINT, client + " was forwarded to unlisted " + endpoint);
            }
            if (endpoint.service.role() == Role.SESSION_AFFINITY) {
                Endpoint before = affinity.putIfAbsent(client.address(), endpoint);
                if (before != null && !before.equals(endpoint)) {
                    tally.fault(
                            Fault.ENDPOINT,
                            client + " was forwarded to " + endpoint.address + ", not to " + before.address
                                    + " of its session affinity");
                }
            }
        }
        return client;
    }

    private void sweep() {
        long now = System.nanoTime();
        for (TcpClient client : new ArrayList<>(clients.values())) {
            if (client.deadlineNanos - now < 0) {
                tally.fault(Fault.HANG, client.toString());
                client.abandon();
            }
        }
        for (TcpServer server : new ArrayList<>(servers)) {
            if (now - server.lastNanos > TimeUnit.SECONDS.toNanos(70)) {
                tally.fault(
                        Fault.HANG,
                        "connection of server " + server.endpoint.address + " is still open after 70 s without data");
                server.abandon();
            }
        }
        openClients = clients.size();
        openServers = servers.size();
        after(100, this::sweep);
    }

    /** Returns the number of open connections of clients and servers, at most a tenth of a second old. */
    int open() {
        return openClients + openServers;
    }

    int openClients() {
        return openClients;
    }

    int rounds() {
        return ROUNDS;
    }
}
