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
 * Whatever happened before, and in whatever order: what counts is what is there in the end. Each history is compared
 * with a fresh start. Addresses are few, so that conflicts and circles are many.
 */
class EventOrderTest {
    private static final int CLUSTERS = 1_000;
    private static final int HISTORIES_OF_EACH = 10;

    /** Half of all objects are of the first four, so that there are services of several slices, and files that repeat. */
    private static final int FAVOURITES = 4;

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

    /** Where an object may be. */
    private record Place(String file, ObjectKey key) {}

    /** What a place holds from now on. Equal versions make equal objects, but never the same instance. */
    private record Event(Place place, @Nullable Integer version) {}

    /** What everybody can see of the state. */
    private record Outcome(
            List<ServicePort> servicePorts,
            Origins origins,
            Map<String, HealthCheck> healthChecks,
            Set<Cidr> serviceCidrs,
            List<Problem> problems) {}

    /** Store and builder, fed as by files. */
    private static final class State {
        private final ProblemTracker board = new ProblemTracker();
        private final ObjectStore store = new ObjectStore(board);
        private final SnapshotBuilder builder;
        private final Map<String, Map<ObjectKey, KubeObject>> files = new TreeMap<>();
        private ServiceSnapshot snapshot = ServiceSnapshot.empty();

        State(BuildOptions options) {
            builder = new SnapshotBuilder(options, store, board);
        }

        /** The file is told of anew. */
        void take(Event event) {
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
                    board.publish((problem, appeared) -> {}));
        }
    }

    @Test
    void anyOrderOfEventsEndsInTheStateOfAFreshStart() {
        Random random = new Random(20);
        for (int cluster = 0; cluster < CLUSTERS; cluster++) {
            BuildOptions options = OPTIONS.get(cluster % OPTIONS.size());
            Map<Place, Integer> end = anyCluster(random);
            State fresh = new State(options);
            end.forEach((place, version) -> fresh.take(new Event(place, version)));
            Outcome expected = fresh.outcome();
            for (int history = 0; history < HISTORIES_OF_EACH; history++) {
                State state = new State(options);
                List<Event> events = anyHistory(end, random);
                for (Event event : events) {
                    state.take(event);
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

    /** What is taken back before anybody built of it never happened; what is taken back later leaves no difference. */
    @Test
    void aChangeThatIsTakenBackLeavesNoDifference() {
        Random random = new Random(21);
        for (int cluster = 0; cluster < CLUSTERS; cluster++) {
            Map<Place, Integer> end = anyCluster(random);
            State state = new State(OPTIONS.get(cluster % OPTIONS.size()));
            end.forEach((place, version) -> state.take(new Event(place, version)));
            Outcome outcome = state.outcome();
            ServiceSnapshot before = state.snapshot;
            for (int change = 0; change < 10; change++) {
                Place place = anyPlace(random);
                Integer other = random.nextBoolean() ? random.nextInt() : null;
                Event back = new Event(place, end.get(place));
                state.take(back);
                assertThat(state.store.takeDirty()).as("nothing new").isEmpty();
                state.take(new Event(place, other));
                state.take(back);
                assertThat(state.build()).isSameAs(before);
                state.take(new Event(place, other));
                state.build();
                state.take(back);
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
        int key = random.nextInt(random.nextBoolean() ? FAVOURITES : KEYS.size());
        return new Place("f" + random.nextInt(3), KEYS.get(key));
    }

    /** Ends in the given state; before, objects came, changed, moved, went and were told again. */
    private static List<Event> anyHistory(Map<Place, Integer> end, Random random) {
        Map<Place, Deque<Event>> waiting = new HashMap<>();
        end.forEach((place, version) -> {
            Deque<Event> line = past(place, random.nextInt(3), random);
            line.add(new Event(place, version));
            if (random.nextInt(3) == 0) {
                line.add(new Event(place, version));
            }
            waiting.put(place, line);
        });
        for (int visitors = random.nextInt(4); visitors > 0; visitors--) {
            Place place = anyPlace(random);
            if (!waiting.containsKey(place)) {
                Deque<Event> line = past(place, 1 + random.nextInt(2), random);
                line.add(new Event(place, null));
                waiting.put(place, line);
            }
        }
        List<Event> events = new ArrayList<>();
        List<Deque<Event>> lines = new ArrayList<>(waiting.values());
        while (!lines.isEmpty()) {
            Deque<Event> line = lines.get(random.nextInt(lines.size()));
            events.add(line.remove());
            if (line.isEmpty()) {
                lines.remove(line);
            }
        }
        return events;
    }

    private static Deque<Event> past(Place place, int versions, Random random) {
        Deque<Event> line = new ArrayDeque<>();
        for (int i = 0; i < versions; i++) {
            line.add(new Event(place, random.nextInt()));
            if (random.nextInt(4) == 0) {
                line.add(new Event(place, null));
            }
        }
        return line;
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
                        random.nextBoolean() ? "" : "about to go");
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

    /** One or two, of different names or protocols; their numbers are those of node ports too. */
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

    /** Of each eight two are IPv6. One pool for all: clusters, load balancers, nodes and pods get into each other's way. */
    private static IpAddress address(int i) {
        return i >= 6 ? new IpAddress(0xfd00L << 48, i, Family.IPV6) : IpAddress.v4(0x0a000000 + i);
    }
}
