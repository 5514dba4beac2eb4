package io.sluice.forward;

import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/**
 * Measures how long finding the flow of a datagram among 16,000 flows takes. Crafted client addresses collide in a hash
 * map with {@link InetSocketAddress} keys, which is measured for comparison.
 */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 500, timeUnit = TimeUnit.MILLISECONDS)
@Measurement(iterations = 5, time = 500, timeUnit = TimeUnit.MILLISECONDS)
@State(Scope.Thread)
@SuppressWarnings("NullAway.Init") // JMH calls the @Setup method first
public class FlowTableBenchmark {
    @Param("16000")
    int flows;

    @Param({"ipv4-random", "ipv4-crafted", "ipv6-random", "ipv6-crafted"})
    String clients;

    private final FlowTable<Object> table = new FlowTable<>();
    private final Map<InetSocketAddress, Object> map = new HashMap<>();
    /** Addresses that are equal but not identical to the keys, as for each received datagram. */
    private InetSocketAddress[] senders;

    private int next;

    @Setup
    public void fill() {
        List<InetSocketAddress> all = new ArrayList<>(flows);
        Random random = new Random(1);
        for (int i = 0; i < flows; i++) {
            IpAddress address = address(i, random);
            int port = port(i, random);
            InetSocketAddress client = address.toSocketAddress(port);
            if (map.put(client, client) == null) {
                table.put(client, client);
                all.add(address.toSocketAddress(port));
            }
        }
        Collections.shuffle(all, random);
        senders = all.toArray(InetSocketAddress[]::new);
    }

    private IpAddress address(int i, Random random) {
        return switch (clients) {
            case "ipv4-random" -> IpAddress.v4(random.nextInt());
            case "ipv4-crafted" -> IpAddress.v4(0x7f010000 + i);
            case "ipv6-random" -> new IpAddress(0x20010db8_00000000L, random.nextLong(), Family.IPV6);
            default -> new IpAddress(0x20010db8_00000000L + i, (0x7fffffffL - i) << 32, Family.IPV6);
        };
    }

    /** For crafted IPv4 addresses, the sum of address and port is constant, so that all hash codes are equal. */
    private int port(int i, Random random) {
        return switch (clients) {
            case "ipv4-crafted" -> 60_000 - i;
            case "ipv6-crafted" -> 5353;
            default -> 1024 + random.nextInt(60_000);
        };
    }

    private InetSocketAddress sender() {
        next = next + 1 < senders.length ? next + 1 : 0;
        return senders[next];
    }

    @Benchmark
    public @Nullable Object flowTable() {
        return table.get(sender());
    }

    @Benchmark
    public @Nullable Object hashMap() {
        return map.get(sender());
    }
}
