package io.sluice.socketlb;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.fail;

import io.sluice.daemon.NeedsRoot;
import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SessionAffinity;
import io.sluice.socketlb.MapFormat.FrontendEntry;
import io.sluice.thread.Supervisor;
import java.io.IOException;
import java.net.ConnectException;
import java.net.SocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLongArray;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Connects to a frontend while its endpoints change. Each connection must reach an endpoint of a set that was current at
 * some time between its start and its end. {@code -Dsluice.load.seconds} and {@code -Dsluice.load.clients} set the time
 * per test and the number of threads that connect.
 */
@NeedsRoot
@Tag("one-jdk")
final class ChangesUnderLoadTest {
    private static final Logger log = LoggerFactory.getLogger(ChangesUnderLoadTest.class);

    private static final int SECONDS = Integer.getInteger("sluice.load.seconds", 2);
    private static final int CLIENTS = Integer.getInteger("sluice.load.clients", 2);
    private static final FrontendAddress FRONTEND = BpfLab.frontend("127.9.0.1", 80);
    /** Frontends that are added and removed, always with the same endpoint. */
    private static final int OTHERS = 8;

    private static final int CHANGES_PER_OTHERS = 16;

    private static final SocketAddress SERVICE = FRONTEND.address().toSocketAddress(FRONTEND.port());
    private static final int BURST = 32;
    private static final int ENDPOINTS = 12;
    private static final int LARGEST_SET = 3;
    /** More changes than there can be during one connection attempt. */
    private static final int HISTORY = 1 << 20;

    @SuppressWarnings("NullAway.Init") // made before each test
    private BpfLab lab;

    @SuppressWarnings("NullAway.Init") // made before each test
    private TestEndpoints endpoints;

    private final Supervisor supervisor = new Supervisor();
    private final List<Endpoint> all = new ArrayList<>();
    /** Those of the other frontends that exist. */
    private List<ServicePort> others = List.of();
    /** The endpoint sets by the number of their change, as bits. */
    private final AtomicLongArray sets = new AtomicLongArray(HISTORY);

    private volatile long started;
    private volatile long done;
    private volatile boolean ended;

    @BeforeEach
    void enter(@TempDir Path directory) throws IOException {
        lab = new BpfLab(directory);
        lab.enter();
        endpoints = new TestEndpoints(ENDPOINTS + 1);
        for (int i = 0; i <= ENDPOINTS; i++) {
            all.add(endpoints.get(i));
        }
    }

    @AfterEach
    void leave() throws IOException {
        endpoints.close();
        lab.close();
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 3_600})
    void everyConnectionReachesACurrentEndpoint(int affinitySeconds) throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(CLIENTS + 1);
        try (SocketLoadBalancer balancer =
                SocketLoadBalancer.open(lab.options(), (port, frontend) -> "", new FakeForwarder(), Runnable::run, 0)) {
            balancer.start(supervisor);
            Random random = new Random(23);
            change(balancer, random, affinitySeconds);
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(SECONDS);
            List<Future<Long>> clients = new ArrayList<>();
            for (int i = 0; i < CLIENTS; i++) {
                clients.add(threads.submit(whileRunning(end, this::connect)));
            }
            Future<Long> changer = threads.submit(whileRunning(end, () -> change(balancer, random, affinitySeconds)));
            long connections = 0;
            for (Future<Long> client : clients) {
                connections += client.get();
            }
            log.info("{} connections/s, {} changes/s", connections * BURST / SECONDS, changer.get() / SECONDS);
            assertThat(connections).isPositive();
            assertThat(balancer.status().reason()).isEmpty();
        } finally {
            threads.shutdownNow();
        }
    }

    /**
     * A program that is interrupted while it reads the entry of a frontend can see that of another one, in the same memory.
     * The test writes such an entry.
     */
    @Test
    void aFrontendNeverUsesTheSetOfAnother() throws IOException {
        FrontendAddress other = BpfLab.frontend("127.9.0.2", 80);
        try (SocketLoadBalancer balancer = SocketLoadBalancer.open(
                        lab.options(), (port, frontend) -> "", new FakeForwarder(), Runnable::run, 0);
                Programs programs = Programs.load(lab.options(), 0);
                SocketChannel channel = SocketChannel.open()) {
            balancer.apply(ServiceSnapshot.of(
                    servicePort("web", FRONTEND, 0, all.subList(0, 1)),
                    servicePort("other", other, 0, all.subList(1, 2))));
            BpfMap frontends = programs.map("frontends");
            FrontendEntry entry = FrontendEntry.of(Objects.requireNonNull(frontends.get(MapFormat.address(other))));
            frontends.put(MapFormat.address(FRONTEND), entry.toBytes());
            // Not redirected, and nothing listens there.
            assertThatThrownBy(() -> channel.connect(SERVICE)).isInstanceOf(ConnectException.class);
        }
    }

    private interface Step {
        void run() throws IOException;
    }

    /** Repeats a step, until the time is over or one has failed, and returns how often. */
    private Callable<Long> whileRunning(long end, Step step) {
        return () -> {
            long times = 0;
            try {
                while (!ended && System.nanoTime() - end < 0) {
                    step.run();
                    times++;
                }
            } finally {
                ended = true;
            }
            return times;
        };
    }

    private void change(SocketLoadBalancer balancer, Random random, int affinitySeconds) {
        long number = started + 1;
        if (number % CHANGES_PER_OTHERS == 1) {
            others = others(random.nextInt(1 << OTHERS), affinitySeconds);
        }
        List<Endpoint> set = new ArrayList<>();
        long bits = 0;
        int size = 1 + random.nextInt(LARGEST_SET);
        while (set.size() < size) {
            int next = random.nextInt(ENDPOINTS);
            if ((bits & 1L << next) == 0) {
                bits |= 1L << next;
                set.add(all.get(next));
            }
        }
        List<ServicePort> ports = new ArrayList<>(others);
        ports.add(servicePort("web", FRONTEND, affinitySeconds, set));
        ServiceSnapshot snapshot = ServiceSnapshot.of(ports.toArray(ServicePort[]::new));
        sets.set((int) (number % HISTORY), bits);
        started = number;
        balancer.apply(snapshot);
        done = number;
    }

    private List<ServicePort> others(int bits, int affinitySeconds) {
        List<ServicePort> ports = new ArrayList<>();
        for (int i = 0; i < OTHERS; i++) {
            if ((bits & 1 << i) != 0) {
                FrontendAddress other = BpfLab.frontend("127.9.0.2", 80 + i);
                ports.add(servicePort("other-" + i, other, affinitySeconds, List.of(all.get(ENDPOINTS))));
            }
        }
        return ports;
    }

    private static ServicePort servicePort(
            String name, FrontendAddress address, int affinitySeconds, List<Endpoint> endpoints) {
        Frontend frontend = Frontend.of(address, Route.forward(endpoints, Route.Source.CLIENT));
        return new ServicePort(
                new ServicePortName("shop", name, "http", Protocol.TCP),
                new SessionAffinity(affinitySeconds),
                Set.of(),
                List.of(frontend));
    }

    /** Opens several connections, and then looks where they went, so that client and server are not switched for each. */
    private void connect() throws IOException {
        List<Attempt> attempts = new ArrayList<>();
        try {
            while (attempts.size() < BURST) {
                SocketChannel channel = SocketChannel.open();
                long first = done;
                attempts.add(new Attempt(channel, first, first));
                // Resets the connection at its end, so that its port can be used again at once.
                channel.setOption(StandardSocketOptions.SO_LINGER, 0);
                channel.connect(SERVICE);
                attempts.set(attempts.size() - 1, new Attempt(channel, first, started));
            }
            for (Attempt attempt : attempts) {
                check(attempt);
            }
        } finally {
            for (Attempt attempt : attempts) {
                attempt.channel.close();
            }
        }
    }

    /** A connection, with the numbers of the last change before it and the last that began before its end. */
    private record Attempt(SocketChannel channel, long first, long last) {}

    private void check(Attempt attempt) throws IOException {
        ByteBuffer index = ByteBuffer.allocate(1);
        assertThat(attempt.channel.read(index)).isEqualTo(1);
        assertThat(attempt.last - attempt.first).isLessThan(HISTORY);
        long allowed = 0;
        for (long i = attempt.first; i <= attempt.last; i++) {
            allowed |= sets.get((int) (i % HISTORY));
        }
        if ((allowed & 1L << index.get(0)) == 0) {
            fail("endpoint %s after changes %s to %s", index.get(0), attempt.first, attempt.last);
        }
    }
}
