package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.balance.EndpointChange;
import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SessionAffinity;
import io.sluice.socket.KeepAlive;
import io.sluice.stats.Counter;
import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** A forwarder on loopback with endpoint servers and a clock that tests can advance. */
public final class Lab implements AutoCloseable {
    private final AtomicLong clockOffsetNanos = new AtomicLong();
    private final List<Closeable> open = new ArrayList<>();
    final List<FrontendStatus> changes = new ArrayList<>();
    final List<EndpointChange> endpointChanges = new CopyOnWriteArrayList<>();
    final List<String> putBack = new CopyOnWriteArrayList<>();
    final List<EndedConnection> ended = new CopyOnWriteArrayList<>();
    final Forwarder forwarder;

    Lab() {
        this(2);
    }

    Lab(int loops) {
        this(ForwarderConfig.defaults().withLoops(loops));
    }

    Lab(ForwarderConfig config) {
        this(config, true);
    }

    /** @param recordsEnds whether to collect finished connections in {@link #ended} */
    Lab(ForwarderConfig config, boolean recordsEnds) {
        forwarder = new Forwarder(
                withClock(config, () -> config.nanoClock().getAsLong() + clockOffsetNanos.get()),
                new ForwarderCallbacks(
                        status -> {
                            synchronized (changes) {
                                changes.add(status);
                            }
                        },
                        endpointChanges::add,
                        (service, endpoint) -> putBack.add(service + " " + endpoint),
                        name -> {},
                        recordsEnds ? ended::add : null));
    }

    static ForwarderConfig withClock(ForwarderConfig config, LongSupplier nanoClock) {
        return new ForwarderConfig(
                config.loops(),
                config.busyPoll(),
                config.connectTimeout(),
                config.connectDeadline(),
                config.connectAttempts(),
                config.halfClosedTimeout(),
                config.keepAlive(),
                config.stalledTimeout(),
                config.udpUnrepliedTimeout(),
                config.udpRepliedTimeout(),
                config.maxFlows(),
                config.maxClientSharePercent(),
                config.bufferBudgetBytes(),
                config.transparentSockets(),
                nanoClock);
    }

    /** One loop, without a limit per client; 0 means the default limit. */
    static ForwarderConfig limited(int maxFlows, long bufferBudgetBytes) {
        return limited(maxFlows, 100, bufferBudgetBytes);
    }

    static ForwarderConfig limited(int maxFlows, int maxClientSharePercent, long bufferBudgetBytes) {
        return limited(
                maxFlows,
                maxClientSharePercent,
                bufferBudgetBytes,
                ForwarderConfig.defaults().keepAlive());
    }

    static ForwarderConfig limited(
            int maxFlows, int maxClientSharePercent, long bufferBudgetBytes, KeepAlive keepAlive) {
        ForwarderConfig defaults = ForwarderConfig.defaults();
        return new ForwarderConfig(
                1,
                defaults.busyPoll(),
                defaults.connectTimeout(),
                defaults.connectDeadline(),
                defaults.connectAttempts(),
                defaults.halfClosedTimeout(),
                keepAlive,
                defaults.stalledTimeout(),
                defaults.udpUnrepliedTimeout(),
                defaults.udpRepliedTimeout(),
                maxFlows,
                maxClientSharePercent,
                bufferBudgetBytes,
                defaults.transparentSockets(),
                defaults.nanoClock());
    }

    void advance(Duration time) {
        clockOffsetNanos.addAndGet(time.toNanos());
    }

    <T extends Closeable> T closing(T resource) {
        open.add(resource);
        return resource;
    }

    /** A random unused address in a loopback range of its own, so that tests do not conflict. */
    static FrontendAddress freeAddress(Protocol protocol) {
        ThreadLocalRandom random = ThreadLocalRandom.current();
        String address = "127." + random.nextInt(64, 128) + "." + random.nextInt(256) + "." + random.nextInt(1, 255);
        return new FrontendAddress(protocol, ip(address), random.nextInt(10_000, 30_000));
    }

    public static IpAddress ip(String value) {
        return Objects.requireNonNull(IpAddress.parse(value), value);
    }

    static ServicePort service(String name, FrontendAddress address, Endpoint... endpoints) {
        return service(name, address, SessionAffinity.NONE, endpoints);
    }

    static ServicePort service(String name, FrontendAddress address, SessionAffinity affinity, Endpoint... endpoints) {
        Route route = endpoints.length == 0 ? Route.REJECT : Route.forward(List.of(endpoints), Route.Source.NODE);
        return new ServicePort(
                new ServicePortName("test", name, "", address.protocol()),
                affinity,
                address.protocol() == Protocol.UDP ? Set.of(endpoints) : Set.of(),
                List.of(Frontend.of(address, route)));
    }

    void apply(ServicePort... servicePorts) {
        forwarder.apply(ServiceSnapshot.of(servicePorts));
    }

    /** Waits until the loops have applied a snapshot to all open connections. */
    void awaitApplied() {
        forwarder.connections(ConnectionFilter.ALL, null, 1);
    }

    EndpointServer endpointServer(String name) throws IOException {
        return closing(new EndpointServer(name, EndpointServer.Kind.NAME));
    }

    EndpointServer endpointServer(EndpointServer.Kind kind) throws IOException {
        return closing(new EndpointServer("", kind));
    }

    Socket dial(FrontendAddress address) throws IOException {
        return dial(address, null);
    }

    Socket dial(FrontendAddress address, @Nullable String from) throws IOException {
        Socket socket = closing(new Socket());
        if (from != null) {
            socket.bind(new InetSocketAddress(from, 0));
        }
        socket.setSoTimeout(5_000);
        socket.connect(address.address().toSocketAddress(address.port()), 5_000);
        return socket;
    }

    /** Connects to the address and returns what the endpoint sends. */
    String ask(FrontendAddress address) throws IOException {
        return ask(address, null);
    }

    String ask(FrontendAddress address, @Nullable String from) throws IOException {
        try (Socket socket = dial(address, from)) {
            return read(socket);
        }
    }

    static String read(Socket socket) throws IOException {
        return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    }

    long count(Counter counter) {
        return forwarder.stats().sum(counter);
    }

    FrontendStatus status(FrontendAddress address) {
        return forwarder.frontends().stream()
                .filter(status -> status.address().equals(address))
                .findFirst()
                .orElseThrow();
    }

    /** An endpoint whose port is closed. */
    static Endpoint closedPort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, ip("127.0.0.1").toInetAddress())) {
            return new Endpoint(ip("127.0.0.1"), socket.getLocalPort());
        }
    }

    /** An endpoint that does not answer SYNs. */
    Endpoint silent() throws IOException {
        return new Endpoint(ip("127.0.0.1"), fullAcceptQueue().getLocalPort());
    }

    /** A server with a full accept queue: the kernel drops SYNs until connections are accepted. */
    ServerSocket fullAcceptQueue() throws IOException {
        ServerSocket socket = closing(new ServerSocket(0, 1, ip("127.0.0.1").toInetAddress()));
        socket.setSoTimeout(20_000);
        for (int i = 0; i < 2; i++) {
            closing(new Socket(socket.getInetAddress(), socket.getLocalPort()));
        }
        return socket;
    }

    static void assertEof(InputStream in) throws IOException {
        assertThat(in.read()).isEqualTo(-1);
    }

    /** Blocks the first loop until the latch is released, so that it sees all events until then in one round. */
    CountDownLatch stopLoop() throws InterruptedException {
        CountDownLatch release = new CountDownLatch(1);
        CountDownLatch stopped = new CountDownLatch(1);
        forwarder.loops().get(0).executor.execute(() -> {
            stopped.countDown();
            try {
                release.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        stopped.await();
        return release;
    }

    /** Number of open descriptors of this process, without jar files, which are opened at first use. */
    static long descriptors() throws IOException {
        try (Stream<Path> open = Files.list(Path.of("/proc/self/fd"))) {
            return open.filter(Lab::isNotAJar).count();
        }
    }

    private static boolean isNotAJar(Path descriptor) {
        try {
            return !Files.readSymbolicLink(descriptor).toString().endsWith(".jar");
        } catch (IOException e) {
            // Closed meanwhile, as the descriptor of the listed directory.
            return false;
        }
    }

    static byte[] bytes(int length) {
        byte[] bytes = new byte[length];
        new java.util.Random(length).nextBytes(bytes);
        return bytes;
    }

    @Override
    public void close() throws IOException {
        for (int i = open.size() - 1; i >= 0; i--) {
            open.get(i).close();
        }
        forwarder.close();
    }
}
