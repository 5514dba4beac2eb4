package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.FixedRecvByteBufAllocator;
import io.netty.channel.epoll.EpollDatagramChannel;
import io.netty.util.ResourceLeakDetector;
import io.sluice.balance.AffinityTable;
import io.sluice.balance.Balancer;
import io.sluice.balance.FrontendRouting;
import io.sluice.balance.ServiceState;
import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Origin;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.SessionAffinity;
import io.sluice.model.TrafficPolicy;
import io.sluice.model.TrafficPolicy.Algorithm;
import io.sluice.model.TrafficPolicy.Balancing;
import io.sluice.model.TrafficPolicy.Preference;
import io.sluice.socket.InetSocket;
import io.sluice.stats.ServiceStats;
import io.sluice.stats.Stats;
import io.sluice.stats.Timing;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.Inet6Address;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Bounds on the bytes that the data path allocates; independent of the speed of the machine. Measures only the
 * thread that does the work, and takes the best of many rounds, because compilation and timer ticks allocate too.
 */
class AllocationTest {
    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    /** Share, per operation, of an allocation that happens once in a round. */
    private static final double ROUNDING = 1;

    /**
     * Copy of the bytes of an InetAddress, which the compiler eliminates in some runs only.
     */
    private static final double OPTIONAL_COPY = 24;

    /** Measured: 665 bytes; the rest is margin. */
    private static final double MAX_PER_CONNECTION = 900;

    /** More services than are likely to be busy at the same time. */
    private static final int SERVICES = 2_000;

    private static final Timing[] TIMINGS = Timing.values();

    private static final int MIN_ROUNDS = 20;
    private static final long PATIENCE_NANOS = TimeUnit.SECONDS.toNanos(15);

    private final ResourceLeakDetector.Level leakDetection = ResourceLeakDetector.getLevel();

    private interface Operation {
        void run() throws Exception;
    }

    /** The leak detector records the history of each buffer, which takes thousands of bytes per datagram. */
    @BeforeEach
    void disableLeakDetection() {
        ResourceLeakDetector.setLevel(ResourceLeakDetector.Level.DISABLED);
    }

    @AfterEach
    void restoreLeakDetection() {
        ResourceLeakDetector.setLevel(leakDetection);
    }

    /** Bytes per operation in the best round. Repeats until a round is within the bound, or the time is over. */
    private static double leastBytes(long thread, int operationsPerRound, double bound, Operation operation)
            throws Exception {
        double leastBytes = Double.MAX_VALUE;
        long start = System.nanoTime();
        for (int round = 0;
                round < MIN_ROUNDS || (leastBytes > bound && System.nanoTime() - start < PATIENCE_NANOS);
                round++) {
            long before = THREADS.getThreadAllocatedBytes(thread);
            for (int i = 0; i < operationsPerRound; i++) {
                operation.run();
            }
            leastBytes = Math.min(
                    leastBytes, (double) (THREADS.getThreadAllocatedBytes(thread) - before) / operationsPerRound);
        }
        return leastBytes;
    }

    private static long threadOf(Loop loop) throws Exception {
        return loop.executor.submit(() -> Thread.currentThread().getId()).get();
    }

    /** The routing of a service port with a traffic policy. */
    private static FrontendRouting routing(Balancing balancing, int preferred, int endpoints) {
        List<Endpoint> all = IntStream.range(0, endpoints)
                .mapToObj(i -> new Endpoint(IpAddress.v4(0x0a000000 + i), 8080))
                .toList();
        TrafficPolicy policy = new TrafficPolicy(
                balancing,
                TrafficPolicy.DEFAULT.limits(),
                TrafficPolicy.DEFAULT.timeouts(),
                TrafficPolicy.DEFAULT.proxyProtocol(),
                TrafficPolicy.DEFAULT.lifetime(),
                List.of(),
                true);
        ServicePortName name = new ServicePortName("test", "sticky", "", Protocol.TCP);
        ServiceState state = new ServiceState(new Stats(1).open(name), new AffinityTable(), change -> {});
        FrontendRouting routing = null;
        // The last endpoint is new in the second version.
        for (List<Endpoint> listed : List.of(all.subList(0, Math.max(1, endpoints - 1)), all)) {
            ServicePort port = new ServicePort(
                    name,
                    new SessionAffinity(60),
                    policy,
                    Set.of(),
                    Set.copyOf(all.subList(0, preferred)),
                    List.of(Frontend.of(
                            new FrontendAddress(Protocol.TCP, IpAddress.v4(0x0a600001), 80),
                            Route.forward(listed, Route.Source.NODE))));
            routing = state.update(port, client -> Origin.EXTERNAL, Map.of(), 0).get(0);
        }
        return Objects.requireNonNull(routing);
    }

    @ParameterizedTest
    @CsvSource({
        "ROUND_ROBIN, 0, 0, 1",
        "ROUND_ROBIN, 0, 0, 10",
        "ROUND_ROBIN, 0, 0, 1000",
        "ROUND_ROBIN, 1000000000, 0, 10",
        "ROUND_ROBIN, 0, 3, 10",
        "LEAST_CONNECTIONS, 0, 0, 10",
        "LEAST_CONNECTIONS, 0, 0, 1000",
        "MAGLEV, 0, 0, 10"
    })
    void choosingAnEndpointAllocatesNothing(Algorithm algorithm, long slowStartNanos, int preferred, int endpoints)
            throws Exception {
        Balancing balancing = new Balancing(algorithm, slowStartNanos, Preference.NONE, 3, 1, 0);
        Balancer balancer =
                Objects.requireNonNull(routing(balancing, preferred, endpoints).external());
        IpAddress client = IpAddress.v4(0x7f000001);
        double bytes = leastBytes(
                Thread.currentThread().getId(), 10_000, ROUNDING, () -> balancer.pick(client, List.of(), 500_000_000));
        assertThat(bytes).isLessThanOrEqualTo(ROUNDING);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 10, 1_000})
    void affinityLookupAllocatesNothing(int endpoints) throws Exception {
        FrontendRouting routing = routing(Balancing.DEFAULT, 0, endpoints);
        Balancer balancer = Objects.requireNonNull(routing.external());
        IpAddress client = Lab.ip("10.1.2.3");
        double bytes =
                leastBytes(Thread.currentThread().getId(), 10_000, ROUNDING, () -> routing.pick(client, balancer, 0));
        assertThat(bytes).isLessThanOrEqualTo(ROUNDING);
    }

    @ParameterizedTest
    @ValueSource(strings = {"10.1.2.3", "2001:db8::1"})
    void flowLookupAllocatesNothing(String address) throws Exception {
        FlowTable<InetSocketAddress> table = new FlowTable<>();
        InetSocketAddress[] datagrams = new InetSocketAddress[1_000];
        for (int i = 0; i < datagrams.length; i++) {
            InetSocketAddress client = Lab.ip(address).toSocketAddress(10_000 + i);
            table.put(client, client);
            datagrams[i] = Lab.ip(address).toSocketAddress(10_000 + i);
        }
        int[] next = {0};
        double bytes = leastBytes(
                Thread.currentThread().getId(), 10_000, ROUNDING, () -> table.get(datagrams[next[0]++ % 1_000]));
        assertThat(bytes).isLessThanOrEqualTo(ROUNDING);
    }

    @ParameterizedTest
    @ValueSource(ints = {64, 1 << 10, 16 << 10, 64 << 10})
    void forwardingATcpMessageAllocatesNothing(int messageBytes) throws Exception {
        FrontendAddress address = Lab.freeAddress(Protocol.TCP);
        try (Lab lab = new Lab(ForwarderConfig.defaults().withLoops(1), false)) {
            EndpointServer endpointServer = lab.endpointServer(EndpointServer.Kind.MANUAL);
            lab.apply(Lab.service("web", address, endpointServer.endpoint()));
            try (Socket client = lab.dial(address);
                    Socket endpoint = endpointServer.next()) {
                client.setTcpNoDelay(true);
                endpoint.setTcpNoDelay(true);
                byte[] message = new byte[messageBytes];
                double bytes = leastBytes(threadOf(lab.forwarder.loops().get(0)), 200, ROUNDING, () -> {
                    send(client, endpoint, message);
                    send(endpoint, client, message);
                });
                assertThat(bytes).isLessThanOrEqualTo(ROUNDING);
            }
        }
    }

    private static void send(Socket from, Socket to, byte[] message) throws IOException {
        from.getOutputStream().write(message);
        assertThat(to.getInputStream().readNBytes(message, 0, message.length)).isEqualTo(message.length);
    }

    @Test
    void aTcpConnectionStaysWithinItsBound() throws Exception {
        FrontendAddress address = Lab.freeAddress(Protocol.TCP);
        InetSocketAddress frontend = address.address().toSocketAddress(address.port());
        try (Lab lab = new Lab(ForwarderConfig.defaults().withLoops(1), false)) {
            lab.apply(Lab.service("name", address, lab.endpointServer("it").endpoint()));
            double bytes = leastBytes(threadOf(lab.forwarder.loops().get(0)), 50, MAX_PER_CONNECTION, () -> {
                try (Socket client = new Socket()) {
                    client.connect(frontend);
                    assertThat(Lab.read(client)).isEqualTo("it");
                }
            });
            assertThat(bytes).isLessThanOrEqualTo(MAX_PER_CONNECTION);
        }
    }

    /** The statistics of a service are allocated for its first connection, and never again. */
    @Test
    void connectionsToManyServicesStayWithinTheBound() throws Exception {
        List<FrontendAddress> addresses = new ArrayList<>(SERVICES);
        try (Lab lab = new Lab(ForwarderConfig.defaults().withLoops(1), false)) {
            Endpoint endpoint = lab.endpointServer("it").endpoint();
            ServicePort[] services = new ServicePort[SERVICES];
            int port = Lab.freeAddress(Protocol.TCP).port();
            for (int i = 0; i < SERVICES; i++) {
                addresses.add(new FrontendAddress(Protocol.TCP, IpAddress.v4(0x7f300001 + i), port));
                services[i] = Lab.service("s" + i, addresses.get(i), endpoint);
            }
            lab.apply(services);
            for (FrontendAddress address : addresses) {
                assertThat(lab.ask(address)).isEqualTo("it");
            }
            AtomicInteger next = new AtomicInteger();
            double bytes = leastBytes(threadOf(lab.forwarder.loops().get(0)), 50, MAX_PER_CONNECTION, () -> {
                FrontendAddress address = addresses.get(next.getAndIncrement() % SERVICES);
                try (Socket client = new Socket()) {
                    client.connect(address.address().toSocketAddress(address.port()));
                    assertThat(Lab.read(client)).isEqualTo("it");
                }
            });
            assertThat(bytes).isLessThanOrEqualTo(MAX_PER_CONNECTION);
        }
    }

    @Test
    void recordingTimesOfManyServicesAllocatesNothing() throws Exception {
        Stats stats = new Stats(1);
        List<ServiceStats> services = IntStream.range(0, SERVICES)
                .mapToObj(i -> stats.open(new ServicePortName("test", "s" + i, "", Protocol.TCP)))
                .toList();
        AtomicInteger next = new AtomicInteger();
        double bytes = leastBytes(Thread.currentThread().getId(), 2 * SERVICES, ROUNDING, () -> {
            ServiceStats service = services.get(next.getAndIncrement() % SERVICES);
            for (Timing timing : TIMINGS) {
                service.record(0, timing, 1_000_000);
            }
        });
        assertThat(bytes).isLessThanOrEqualTo(ROUNDING);
    }

    /**
     * Netty allocates objects for a datagram and an array for the address that it is sent to. Sluice must not allocate
     * more.
     */
    @ParameterizedTest
    @CsvSource({"127.0.0.1, 64", "127.0.0.1, 1400", "::1, 64"})
    void aDatagramAllocatesNoMoreThanNettyDoes(String loopback, int datagramBytes) throws Exception {
        InetSocketAddress any = Lab.ip(loopback).toSocketAddress(0);
        FrontendAddress free = Lab.freeAddress(Protocol.UDP);
        FrontendAddress address = any.getAddress() instanceof Inet6Address
                ? new FrontendAddress(Protocol.UDP, Lab.ip(loopback), free.port())
                : free;
        try (Lab lab = new Lab(ForwarderConfig.defaults().withLoops(1), false);
                DatagramSocket endpoint = new DatagramSocket(any);
                DatagramSocket client = new DatagramSocket(any)) {
            Loop loop = lab.forwarder.loops().get(0);
            double bound = bytesOfNettyAlone(loop, any, datagramBytes) + OPTIONAL_COPY + ROUNDING;
            lab.apply(Lab.service("dns", address, new Endpoint(Lab.ip(loopback), endpoint.getLocalPort())));
            client.connect(address.address().toSocketAddress(address.port()));
            client.setSoTimeout(5_000);
            endpoint.setSoTimeout(5_000);
            DatagramPacket packet = new DatagramPacket(new byte[datagramBytes], datagramBytes);
            DatagramPacket answer = new DatagramPacket(new byte[datagramBytes], datagramBytes);
            double bytes = leastBytes(threadOf(loop), 50, bound, () -> {
                client.send(packet);
                endpoint.receive(answer);
                endpoint.send(answer);
                client.receive(answer);
            });
            assertThat(bytes).isLessThanOrEqualTo(bound);
        }
    }

    /** Bytes per datagram on a channel that is set up like ours, with a handler that only sends it back. */
    private static double bytesOfNettyAlone(Loop loop, InetSocketAddress any, int datagramBytes) throws Exception {
        EpollDatagramChannel channel = new EpollDatagramChannel();
        int batchBytes = InetSocket.DATAGRAM_BYTES * UdpListener.DATAGRAMS_PER_READ;
        channel.config().setAllocator(loop.datagramBuffer(batchBytes));
        channel.config().setMaxDatagramPayloadSize(InetSocket.DATAGRAM_BYTES);
        channel.config().setRecvByteBufAllocator(new FixedRecvByteBufAllocator(batchBytes));
        channel.pipeline().addLast(new SendBack((io.netty.channel.unix.Socket) channel.fd()));
        EventLoopGroup group = loop.executor;
        group.register(channel).sync();
        try (DatagramSocket client = new DatagramSocket(any)) {
            channel.bind(any).sync();
            client.connect(channel.localAddress());
            client.setSoTimeout(5_000);
            DatagramPacket packet = new DatagramPacket(new byte[datagramBytes], datagramBytes);
            // The result is the bound, so there is no bound here.
            return leastBytes(threadOf(loop), 500, Double.MAX_VALUE, () -> {
                client.send(packet);
                client.receive(packet);
            });
        } finally {
            channel.close().sync();
        }
    }

    private static final class SendBack extends ChannelInboundHandlerAdapter {
        private final io.netty.channel.unix.Socket socket;
        /** Keeps the compiler from eliminating the objects. */
        private final AtomicReference<Object> last = new AtomicReference<>();

        SendBack(io.netty.channel.unix.Socket socket) {
            this.socket = socket;
        }

        @Override
        public void channelRead(ChannelHandlerContext ctx, Object message) throws IOException {
            io.netty.channel.socket.DatagramPacket packet = (io.netty.channel.socket.DatagramPacket) message;
            ByteBuf content = packet.content();
            InetSocketAddress client = packet.sender();
            last.set(packet);
            socket.sendToAddress(
                    content.memoryAddress(),
                    content.readerIndex(),
                    content.writerIndex(),
                    client.getAddress(),
                    client.getPort());
            packet.release();
        }
    }
}
