package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import java.net.Inet6Address;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Behaves like a map, with short probe sequences for any choice of client addresses. */
class FlowTableTest {
    private static final int CLIENTS = 16_000;

    /** A half-full table has a longer probe sequence with a probability of 10<sup>-12</sup>. */
    private static final int LONG_PROBE = 200;

    /** Sets of addresses with equal values under a hash that clients can compute. */
    private enum Crafted {
        /** Hash code of an IPv4 {@link InetSocketAddress}: address + port. */
        IPV4_SUM {
            @Override
            InetSocketAddress client(int i) {
                return new InetSocketAddress(IpAddress.v4(0x7f010000 + i).toInetAddress(), 60_000 - i);
            }

            @Override
            int hash(InetSocketAddress client) {
                return client.hashCode();
            }
        },
        /** Lowest bits of that sum, which select the slot if the hash is not mixed. */
        IPV4_LAST_BITS {
            @Override
            InetSocketAddress client(int i) {
                return new InetSocketAddress(IpAddress.v4(i << 16).toInetAddress(), 5353);
            }

            @Override
            int hash(InetSocketAddress client) {
                return client.hashCode() & 0xffff;
            }
        },
        /** Hash code of an IPv6 {@link InetSocketAddress}: sum of the words + port. */
        IPV6_SUM {
            @Override
            InetSocketAddress client(int i) {
                return v6(0x20010db8_00000000L + i, (0x7fffffffL - i) << 32);
            }

            @Override
            int hash(InetSocketAddress client) {
                return client.hashCode();
            }
        },
        /** Hash code of a record of two longs. */
        IPV6_RECORD {
            @Override
            InetSocketAddress client(int i) {
                return v6(0x20010db8_00000000L, (long) i << 32 | i);
            }

            @Override
            int hash(InetSocketAddress client) {
                IpAddress address = IpAddress.of(client.getAddress());
                return 31 * Long.hashCode(address.high()) + Long.hashCode(address.low());
            }
        },
        /** Lowest bits of the address. */
        IPV6_LAST_BITS {
            @Override
            InetSocketAddress client(int i) {
                return v6(0x20010db8_00000000L + i, 0);
            }

            @Override
            int hash(InetSocketAddress client) {
                return client.getAddress().getAddress()[15];
            }
        };

        abstract InetSocketAddress client(int i);

        abstract int hash(InetSocketAddress client);
    }

    private static InetSocketAddress v6(long high, long low) {
        return new InetSocketAddress(new IpAddress(high, low, Family.IPV6).toInetAddress(), 5353);
    }

    private static InetSocketAddress linkLocal(int host, int scopeId) throws UnknownHostException {
        byte[] bytes = new IpAddress(0xfe80_0000_0000_0000L, host, Family.IPV6).toBytes();
        return new InetSocketAddress(Inet6Address.getByAddress(null, bytes, scopeId), 5353);
    }

    /** An equal object, as each datagram has its own address object. */
    private static InetSocketAddress copy(InetSocketAddress client) {
        try {
            byte[] bytes = client.getAddress().getAddress();
            InetAddress address = client.getAddress() instanceof Inet6Address v6
                    ? Inet6Address.getByAddress(null, bytes, v6.getScopeId())
                    : InetAddress.getByAddress(bytes);
            return new InetSocketAddress(address, client.getPort());
        } catch (UnknownHostException e) {
            throw new AssertionError(e);
        }
    }

    @ParameterizedTest
    @EnumSource
    void craftedAddressesDoNotLengthenProbes(Crafted crafted) {
        List<InetSocketAddress> clients =
                IntStream.range(0, CLIENTS).mapToObj(crafted::client).toList();
        assertThat(clients.stream().map(crafted::hash).distinct()).hasSize(1);
        FlowTable<InetSocketAddress> table = new FlowTable<>();
        clients.forEach(client -> table.put(client, client));
        assertThat(table.longestProbe()).isLessThan(LONG_PROBE);
        assertThat(table.capacity()).isLessThanOrEqualTo(4 * CLIENTS);
        for (InetSocketAddress client : clients) {
            assertThat(table.get(copy(client))).isSameAs(client);
        }
        assertThat(table.get(crafted.client(CLIENTS))).isNull();
        List<InetSocketAddress> inAnyOrder = new ArrayList<>(clients);
        Collections.shuffle(inAnyOrder, new Random(1));
        for (InetSocketAddress client : inAnyOrder) {
            table.remove(client, client);
            assertThat(table.get(client)).isNull();
        }
        assertThat(table.size()).isZero();
        assertThat(table.capacity()).isLessThan(16);
    }

    @Test
    void distinguishesLinkLocalClientsByInterface() throws Exception {
        FlowTable<String> table = new FlowTable<>();
        table.put(linkLocal(1, 2), "eth0");
        table.put(linkLocal(1, 3), "eth1");
        assertThat(table.get(linkLocal(1, 2))).isEqualTo("eth0");
        assertThat(table.get(linkLocal(1, 3))).isEqualTo("eth1");
        assertThat(table.get(linkLocal(1, 0))).isNull();
        table.remove(linkLocal(1, 2), "eth0");
        assertThat(table.get(linkLocal(1, 2))).isNull();
        assertThat(table.flows()).containsExactly("eth1");
    }

    @Test
    void doesNotRemoveAnotherFlowOfTheClient() {
        FlowTable<String> table = new FlowTable<>();
        table.put(v6(1, 1), "new");
        table.remove(v6(1, 1), "old");
        assertThat(table.get(v6(1, 1))).isEqualTo("new");
    }

    /** Adds and removes at random, in phases of growth and of shrinking. */
    @Test
    void behavesLikeAMap() throws Exception {
        Random random = new Random(7);
        List<InetSocketAddress> universe = universe();
        FlowTable<Object> table = new FlowTable<>();
        Map<List<Object>, Object> model = new HashMap<>();
        for (int phase = 0; phase < 8; phase++) {
            int adding = phase % 2 == 0 ? 80 : 15;
            for (int i = 0; i < 20_000; i++) {
                InetSocketAddress client = copy(universe.get(random.nextInt(universe.size())));
                List<Object> key = key(client);
                Object flow = model.get(key);
                assertThat(table.get(client)).isSameAs(flow);
                if (flow == null && random.nextInt(100) < adding) {
                    model.put(key, client);
                    table.put(client, client);
                } else if (flow != null && random.nextInt(100) >= adding) {
                    model.remove(key);
                    table.remove(client, flow);
                }
                assertThat(table.size()).isEqualTo(model.size());
            }
            assertThat(table.flows()).containsExactlyInAnyOrderElementsOf(model.values());
            assertThat(table.capacity()).isLessThanOrEqualTo(8 * Math.max(4, model.size()));
        }
    }

    private static List<InetSocketAddress> universe() throws UnknownHostException {
        List<InetSocketAddress> universe = new ArrayList<>();
        for (int i = 0; i < 800; i++) {
            int n = i;
            Stream.of(Crafted.values()).map(crafted -> crafted.client(n)).forEach(universe::add);
            universe.add(linkLocal(n / 4, n % 4));
        }
        return universe;
    }

    private static List<Object> key(InetSocketAddress client) {
        return List.of(IpAddress.of(client.getAddress()), client.getPort(), FlowTable.scopeId(client.getAddress()));
    }
}
