package io.sluice.apiserver;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.document.Problem;
import io.sluice.model.Cidr;
import io.sluice.model.Family;
import io.sluice.model.HealthCheck;
import io.sluice.model.IpAddress;
import io.sluice.model.Origins;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePort;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SessionAffinity;
import io.sluice.model.SnapshotDiff;
import io.sluice.objects.EndpointsObject;
import io.sluice.objects.EndpointsObject.EndpointGroup;
import io.sluice.objects.EndpointsObject.Hints;
import io.sluice.objects.EndpointsObject.SliceEndpoint;
import io.sluice.objects.Kind;
import io.sluice.objects.KubeObject;
import io.sluice.objects.NamedPort;
import io.sluice.objects.NodeObject;
import io.sluice.objects.ObjectKey;
import io.sluice.objects.ServiceCidrObject;
import io.sluice.objects.ServiceKey;
import io.sluice.objects.ServiceObject;
import io.sluice.objects.ServiceObject.External;
import io.sluice.rules.BuildOptions;
import io.sluice.rules.BuildOptions.AddressMap;
import io.sluice.rules.NodePortAddresses;
import io.sluice.rules.NodePortAddresses.Keyword;
import io.sluice.rules.ObjectStore;
import io.sluice.rules.ObjectStore.SourceState;
import io.sluice.rules.ProblemTracker;
import io.sluice.rules.SnapshotBuilder;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/**
 * The result depends only on the final objects, not on earlier events and their order. Each random history is compared
 * with a fresh start. Few addresses are used, so that conflicts and cycles are frequent.
 */
class EventOrderTest {
    private static final int CLUSTERS = 1_000;
    private static final int HISTORIES_OF_EACH = 10;

    /**
     * Half of all objects use the first four keys, so that some Services have several slices and objects occur in
     * several files.
     */
    private static final int FREQUENT_KEYS = 4;

    private static final List<ObjectKey> KEYS = List.of(
            new ObjectKey(Kind.SERVICE, "ns", "s0"),
            new ObjectKey(Kind.ENDPOINT_SLICE, "ns", "e0"),
            new ObjectKey(Kind.ENDPOINT_SLICE, "ns", "e1"),
            new ObjectKey(Kind.ENDPOINT_SLICE, "ns", "e2"),
            new ObjectKey(Kind.SERVICE, "ns", "s1"),
            new ObjectKey(Kind.SERVICE, "ns", "s2"),
            new ObjectKey(Kind.SERVICE, "other", "s0"),
            new ObjectKey(Kind.ENDPOINT_SLICE, "other", "e0"),
            new ObjectKey(Kind.ENDPOINTS, "ns", "s0"),
            new ObjectKey(Kind.ENDPOINTS, "ns", "s1"),
            new ObjectKey(Kind.NODE, "", "n1"),
            new ObjectKey(Kind.NODE, "", "n2"),
            new ObjectKey(Kind.SERVICE_CIDR, "", "c0"),
            new ObjectKey(Kind.SERVICE_CIDR, "", "c1"));

    private static final List<BuildOptions> OPTIONS = List.of(
            BuildOptions.on("n1"),
            new BuildOptions(
                    "n1",
                    List.of(),
                    List.of(),
                    true,
                    List.of(),
                    new NodePortAddresses(Set.of(Keyword.ALL), List.of()),
                    false,
                    List.of(),
                    "",
                    false),
            new BuildOptions(
                    "n1",
                    List.of(address(4), IpAddress.v4(0x0a000009)),
                    List.of(new Cidr(IpAddress.v4(0x0b000000), 8)),
                    false,
                    List.of(),
                    new NodePortAddresses(Set.of(Keyword.LOCALHOST), List.of(new Cidr(IpAddress.v4(0x0a000000), 8))),
                    true,
                    List.of(new AddressMap(new Cidr(address(0), 31), new Cidr(address(2), 31))),
                    "",
                    false));

    /** File and key of an object. */
    private record Place(String file, ObjectKey key) {}

    /** Sets the object in a place; null removes it. Equal versions make equal but distinct objects. */
    private record Event(Place place, @Nullable Integer version) {}

    /** Observable result of a state. */
    private record Outcome(
            List<ServicePort> servicePorts,
            Origins origins,
            Map<String, HealthCheck> healthChecks,
            Set<Cidr> serviceCidrs,
            List<Problem> problems) {}

    /** Object store and snapshot builder, with objects from files. */
    private static final class State {
        private final ProblemTracker problemTracker = new ProblemTracker();
        private final ObjectStore store = new ObjectStore(problemTracker);
        private final SnapshotBuilder builder;
        private final Map<String, Map<ObjectKey, KubeObject>> files = new TreeMap<>();
        private ServiceSnapshot snapshot = ServiceSnapshot.empty();

        State(BuildOptions options) {
            builder = new SnapshotBuilder(options, store, problemTracker);
        }

        /** Applies an event, as when its file is read again. */
        void apply(Event event) {
            String file = event.place().file();
            Map<ObjectKey, KubeObject> objects = files.computeIfAbsent(file, name -> new LinkedHashMap<>());
            objects.remove(event.place().key());
            if (event.version() != null) {
                objects.put(event.place().key(), object(event.place().key(), event.version()));
            }
            store.replace(file, new SourceState(List.copyOf(objects.values()), List.of()));
        }

        ServiceSnapshot build() {
            ServiceSnapshot before = snapshot;
            snapshot = builder.build();
            snapshot.forEach(port -> {
                ServicePort was = before.get(port.name());
                if (port.equals(was)) {
                    assertThat(port).isSameAs(was);
                }
            });
            assertThat(builder.build()).isSameAs(snapshot);
            return snapshot;
        }

        Outcome outcome() {
            build();
            return new Outcome(
                    snapshot.sorted(),
                    snapshot.context().origins(),
                    snapshot.context().healthChecks(),
                    store.serviceCidrs(),
                    problemTracker.publish((problem, appeared) -> {}));
        }
    }

    @Test
    void resultIsIndependentOfTheOrderOfEvents() {
        Random random = new Random(20);
        for (int cluster = 0; cluster < CLUSTERS; cluster++) {
            BuildOptions options = OPTIONS.get(cluster % OPTIONS.size());
            Map<Place, Integer> end = anyCluster(random);
            State fresh = new State(options);
            end.forEach((place, version) -> fresh.apply(new Event(place, version)));
            Outcome expected = fresh.outcome();
            for (int history = 0; history < HISTORIES_OF_EACH; history++) {
                State state = new State(options);
                List<Event> events = anyHistory(end, random);
                for (Event event : events) {
                    state.apply(event);
                    if (random.nextInt(4) == 0) {
                        state.build();
                    }
                }
                assertThat(state.outcome())
                        .as(() -> "after " + events + " with " + options)
                        .isEqualTo(expected);
                assertThat(SnapshotDiff.between(fresh.snapshot, state.snapshot).isEmpty())
                        .isTrue();
                if (fresh.store.node("n1") != null) {
                    assertThat(state.builder.nodeIneligibleReason(null))
                            .isEqualTo(fresh.builder.nodeIneligibleReason(null));
                }
            }
        }
    }

    /** A change that is reverted before a build has no effect; one that is reverted later leaves no difference. */
    @Test
    void aRevertedChangeLeavesNoDifference() {
        Random random = new Random(21);
        for (int cluster = 0; cluster < CLUSTERS; cluster++) {
            Map<Place, Integer> end = anyCluster(random);
            State state = new State(OPTIONS.get(cluster % OPTIONS.size()));
            end.forEach((place, version) -> state.apply(new Event(place, version)));
            Outcome outcome = state.outcome();
            ServiceSnapshot before = state.snapshot;
            for (int change = 0; change < 10; change++) {
                Place place = anyPlace(random);
                Integer other = random.nextBoolean() ? random.nextInt() : null;
                Event back = new Event(place, end.get(place));
                state.apply(back);
                assertThat(state.store.takeDirty()).as("no change").isEmpty();
                state.apply(new Event(place, other));
                state.apply(back);
                assertThat(state.build()).isSameAs(before);
                state.apply(new Event(place, other));
                state.build();
                state.apply(back);
                assertThat(state.outcome()).isEqualTo(outcome);
                assertThat(SnapshotDiff.between(before, state.snapshot).isEmpty())
                        .isTrue();
                before = state.snapshot;
            }
        }
    }

    private static Map<Place, Integer> anyCluster(Random random) {
        Map<Place, Integer> end = new LinkedHashMap<>();
        int objects = 3 + random.nextInt(6);
        while (end.size() < objects) {
            end.put(anyPlace(random), random.nextInt());
        }
        return end;
    }

    private static Place anyPlace(Random random) {
        int key = random.nextInt(random.nextBoolean() ? FREQUENT_KEYS : KEYS.size());
        return new Place("f" + random.nextInt(3), KEYS.get(key));
    }

    /**
     * A random history with additions, changes, moves, deletions and repeated events, which ends in the given state.
     */
    private static List<Event> anyHistory(Map<Place, Integer> end, Random random) {
        Map<Place, Deque<Event>> waiting = new HashMap<>();
        end.forEach((place, version) -> {
            Deque<Event> queue = earlierEvents(place, random.nextInt(3), random);
            queue.add(new Event(place, version));
            if (random.nextInt(3) == 0) {
                queue.add(new Event(place, version));
            }
            waiting.put(place, queue);
        });
        for (int temporaryObjects = random.nextInt(4); temporaryObjects > 0; temporaryObjects--) {
            Place place = anyPlace(random);
            if (!waiting.containsKey(place)) {
                Deque<Event> queue = earlierEvents(place, 1 + random.nextInt(2), random);
                queue.add(new Event(place, null));
                waiting.put(place, queue);
            }
        }
        List<Event> events = new ArrayList<>();
        List<Deque<Event>> queues = new ArrayList<>(waiting.values());
        while (!queues.isEmpty()) {
            Deque<Event> queue = queues.get(random.nextInt(queues.size()));
            events.add(queue.remove());
            if (queue.isEmpty()) {
                queues.remove(queue);
            }
        }
        return events;
    }

    private static Deque<Event> earlierEvents(Place place, int versions, Random random) {
        Deque<Event> queue = new ArrayDeque<>();
        for (int i = 0; i < versions; i++) {
            queue.add(new Event(place, random.nextInt()));
            if (random.nextInt(4) == 0) {
                queue.add(new Event(place, null));
            }
        }
        return queue;
    }

    private static KubeObject object(ObjectKey key, int version) {
        Random random = new Random(version);
        return switch (key.kind()) {
            case SERVICE -> service(key, random);
            case ENDPOINT_SLICE ->
                new EndpointsObject(
                        key, new ServiceKey(key.namespace(), "s" + (random.nextInt(5) / 3)), groups(random));
            case ENDPOINTS -> new EndpointsObject(key, new ServiceKey(key.namespace(), key.name()), groups(random));
            case NODE ->
                new NodeObject(
                        key,
                        "z" + random.nextInt(2),
                        addresses(random, 3),
                        List.of(new Cidr(IpAddress.v4(0x0b000000), 8 + random.nextInt(2))),
                        random.nextBoolean() ? "" : "is being deleted");
            case SERVICE_CIDR -> new ServiceCidrObject(key, List.of(new Cidr(address(0), 8 + random.nextInt(3))));
        };
    }

    private static ServiceObject service(ObjectKey key, Random random) {
        List<IpAddress> clusterIps = new ArrayList<>();
        for (IpAddress address : addresses(random, 3)) {
            if (clusterIps.stream().noneMatch(other -> other.family() == address.family())) {
                clusterIps.add(address);
            }
        }
        List<ServiceObject.Port> ports = new ArrayList<>();
        for (NamedPort port : ports(random)) {
            ports.add(new ServiceObject.Port(port, random.nextBoolean() ? 0 : 30_000 + random.nextInt(2)));
        }
        boolean plain = random.nextInt(3) == 0;
        return new ServiceObject(
                key,
                random.nextBoolean() ? ServiceObject.NOT_CREATED : random.nextInt(2),
                clusterIps,
                random.nextBoolean() ? SessionAffinity.NONE : new SessionAffinity(10 + random.nextInt(2)),
                random.nextInt(4) == 0,
                plain
                        ? External.NONE
                        : new External(
                                random.nextBoolean(),
                                addresses(random, 1),
                                addresses(random, 2),
                                random.nextBoolean() ? List.of() : List.of(new Cidr(address(0), 30)),
                                random.nextInt(3)),
                ports);
    }

    /** One or two ports with different names or protocols; the numbers are also used as NodePorts. */
    private static List<NamedPort> ports(Random random) {
        Map<String, NamedPort> ports = new TreeMap<>();
        for (int i = 1 + random.nextInt(2); i > 0; i--) {
            String name = random.nextInt(4) == 0 ? "b" : "";
            Protocol protocol = random.nextInt(4) == 0 ? Protocol.UDP : Protocol.TCP;
            ports.put(name + protocol, new NamedPort(name, protocol, 30_000 + random.nextInt(2)));
        }
        return List.copyOf(ports.values());
    }

    private static List<EndpointGroup> groups(Random random) {
        List<EndpointGroup> groups = new ArrayList<>();
        for (int i = random.nextInt(3); i > 0; i--) {
            List<SliceEndpoint> sliceEndpoints = new ArrayList<>();
            for (IpAddress address : addresses(random, 3)) {
                sliceEndpoints.add(new SliceEndpoint(
                        address,
                        random.nextInt(3) > 0,
                        random.nextBoolean(),
                        random.nextInt(3) == 0,
                        "n" + random.nextInt(3),
                        random.nextInt(3) == 0 ? Hints.NONE : hints(random)));
            }
            groups.add(new EndpointGroup(ports(random), sliceEndpoints));
        }
        return groups;
    }

    private static Hints hints(Random random) {
        return new Hints(
                List.of("z" + random.nextInt(2)), random.nextBoolean() ? List.of() : List.of("n" + random.nextInt(2)));
    }

    private static List<IpAddress> addresses(Random random, int most) {
        List<IpAddress> addresses = new ArrayList<>();
        for (int i = random.nextInt(most + 1); i > 0; i--) {
            addresses.add(address(random.nextInt(8)));
        }
        return addresses.stream().distinct().toList();
    }

    /** Two of eight are IPv6. ClusterIPs, load balancers, nodes and pods share one pool, so that they conflict. */
    private static IpAddress address(int i) {
        return i >= 6 ? new IpAddress(0xfd00L << 48, i, Family.IPV6) : IpAddress.v4(0x0a000000 + i);
    }
}
