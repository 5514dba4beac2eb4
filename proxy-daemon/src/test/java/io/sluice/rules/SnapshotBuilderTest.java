package io.sluice.rules;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route.Source;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
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
import io.sluice.objects.ServiceKey;
import io.sluice.objects.ServiceObject;
import io.sluice.objects.ServiceObject.External;
import io.sluice.rules.ObjectStore.SourceState;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

class SnapshotBuilderTest {
    private static final BuildOptions OPTIONS = BuildOptions.on("n1");

    private final ProblemTracker problemTracker = new ProblemTracker();
    private final ObjectStore store = new ObjectStore(problemTracker);
    private final SnapshotBuilder builder = new SnapshotBuilder(OPTIONS, store, problemTracker);

    private static ServiceObject service(int i, int address) {
        return service(i, address, List.of(new ServiceObject.Port(new NamedPort("", Protocol.TCP, 80), 0)));
    }

    private static ServiceObject service(int i, int address, List<ServiceObject.Port> ports) {
        return new ServiceObject(
                new ObjectKey(Kind.SERVICE, "ns", "s" + i),
                ServiceObject.NOT_CREATED,
                List.of(IpAddress.v4(address)),
                SessionAffinity.NONE,
                false,
                External.NONE,
                ports);
    }

    private static EndpointsObject slice(int service, int name, int... addresses) {
        return sliceOn(8080, service, name, addresses);
    }

    private static EndpointsObject sliceOn(int port, int service, int name, int... addresses) {
        List<SliceEndpoint> sliceEndpoints = new ArrayList<>();
        for (int address : addresses) {
            sliceEndpoints.add(new SliceEndpoint(IpAddress.v4(address), true, true, false, "", Hints.NONE));
        }
        return new EndpointsObject(
                new ObjectKey(Kind.ENDPOINT_SLICE, "ns", "e" + name),
                new ServiceKey("ns", "s" + service),
                List.of(new EndpointGroup(List.of(new NamedPort("", Protocol.TCP, port)), sliceEndpoints)));
    }

    private static NodeObject node(String name, String zone) {
        return new NodeObject(
                new ObjectKey(Kind.NODE, "", name),
                zone,
                List.of(IpAddress.v4(zone.charAt(zone.length() - 1))),
                List.of(),
                "");
    }

    private void put(String source, KubeObject... objects) {
        store.replace(source, new SourceState(List.of(objects), List.of()));
    }

    @Test
    void keepsInstancesOfUnchangedServicePorts() {
        List<KubeObject> objects = new ArrayList<>();
        for (int i = 0; i < 10_000; i++) {
            objects.add(service(i, 0x0a000000 + i));
            objects.add(slice(i, i, 0x0b000000 + i));
        }
        store.replace("all", new SourceState(objects, List.of()));
        ServiceSnapshot before = builder.build();
        assertThat(before.size()).isEqualTo(10_000);

        objects.set(2 * 77 + 1, slice(77, 77, 0x0b000000, 0x0b000001));
        store.replace("all", new SourceState(objects, List.of()));
        assertThat(store.takeDirty()).containsExactly(new ServiceKey("ns", "s77"));

        put("more", slice(77, 10_077, 0x0b000002));
        ServiceSnapshot after = builder.build();
        Set<ServicePort> kept = Collections.newSetFromMap(new IdentityHashMap<>());
        before.forEach(kept::add);
        List<String> changed = new ArrayList<>();
        after.forEach(port -> {
            if (!kept.contains(port)) {
                changed.add(port.name().toString());
            }
        });
        assertThat(changed).containsExactly("ns/s77");
    }

    /**
     * Such a ClusterIP has no listener, but packets must be rejected, not dropped like those to an unallocated address.
     */
    @Test
    void listsClusterIpsWithoutAFrontendAsUnserved() {
        IpAddress address = IpAddress.v4(0x0a000001);
        put("one", service(1, 0x0a000001, List.of()));
        assertThat(builder.build().context().unservedClusterIps()).containsExactly(address);
        put("two", service(2, 0x0a000001, List.of()));
        put("one", service(1, 0x0a000001));
        assertThat(builder.build().context().unservedClusterIps()).containsExactly(address);
        put("two");
        assertThat(builder.build().context().unservedClusterIps()).isEmpty();
        // A Service whose address is used by another Service is treated the same.
        put("three", service(3, 0x0a000001));
        assertThat(builder.build().context().unservedClusterIps()).containsExactly(address);
        put("one");
        assertThat(builder.build().context().unservedClusterIps()).isEmpty();
    }

    @Test
    void aNewFrontendChangesOnlyServicesThatForwardToIt() {
        List<KubeObject> objects = new ArrayList<>();
        for (int i = 0; i < 1_000; i++) {
            objects.add(service(i, 0x0a000000 + i));
            objects.add(sliceOn(80, i, i, 0x0b000000 + i));
        }
        store.replace("all", new SourceState(objects, List.of()));
        ServiceSnapshot before = builder.build();
        put("more", service(2_000, 0x0b000000 + 77));
        SnapshotDiff diff = SnapshotDiff.between(before, builder.build());
        assertThat(diff.added()).extracting(port -> port.name().service()).containsExactly("s2000");
        assertThat(diff.changed())
                .extracting(change -> change.after().name().service())
                .containsExactly("s77");
    }

    /** A common test setup: thousands of Services with the same server as endpoint. */
    @Test
    void updatesAllServicesThatShareAnEndpoint() {
        List<KubeObject> objects = new ArrayList<>();
        for (int i = 0; i < 10_000; i++) {
            objects.add(service(i, 0x0a000000 + i));
            objects.add(sliceOn(80, i, i, 0x0b000000, 0x0b000001));
        }
        store.replace("all", new SourceState(objects, List.of()));
        ServiceSnapshot before = builder.build();
        put("more", service(20_000, 0x0b000001));
        SnapshotDiff diff = SnapshotDiff.between(before, builder.build());
        assertThat(diff.changed())
                .hasSize(10_000)
                // One of the endpoints is a frontend now, so its replies must return through this node.
                .allSatisfy(change -> assertThat(
                                change.after().frontends().get(0).external().source())
                        .isEqualTo(Source.NODE));
        store.replace("more", SourceState.GONE);
        assertThat(Dump.of(builder.build())).isEqualTo(Dump.of(before));
        store.replace("all", SourceState.GONE);
        assertThat(builder.build().size()).isZero();
        assertThat(problemTracker.publish((problem, appeared) -> {})).isEmpty();
    }

    @Test
    void aZoneChangeChangesOnlyServicesWithZoneHints() {
        Hints east = new Hints(List.of("east"), List.of());
        Hints west = new Hints(List.of("west"), List.of());
        put("a", service(1, 1), slice(1, 1, 5, 6), service(2, 2), hinted(2, east, west));
        ServiceSnapshot before = builder.build();
        put("node", node("n2", "west"));
        assertThat(builder.build()).as("another node").isSameAs(before);
        put("node", node("n1", "west"));
        ServiceSnapshot after = builder.build();
        SnapshotDiff diff = SnapshotDiff.between(before, after);
        assertThat(diff.changed())
                .singleElement()
                .satisfies(change -> assertThat(
                                change.after().frontends().get(0).external().endpoints())
                        .extracting(Endpoint::address)
                        .containsExactly(IpAddress.v4(8)));
        ServicePortName one = new ServicePortName("ns", "s1", "", Protocol.TCP);
        assertThat(after.get(one)).isSameAs(before.get(one));
        put("node", node("n1", "north"));
        assertThat(Dump.of(builder.build())).isEqualTo(Dump.of(before));
    }

    /** A slice with one ready endpoint per hint: addresses from 0.0.0.7, nodes from n0. */
    private static EndpointsObject hinted(int service, Hints... hints) {
        List<SliceEndpoint> sliceEndpoints = new ArrayList<>();
        for (Hints hint : hints) {
            sliceEndpoints.add(new SliceEndpoint(
                    IpAddress.v4(7 + sliceEndpoints.size()), true, true, false, "n" + sliceEndpoints.size(), hint));
        }
        return new EndpointsObject(
                new ObjectKey(Kind.ENDPOINT_SLICE, "ns", "h" + service),
                new ServiceKey("ns", "s" + service),
                List.of(new EndpointGroup(List.of(new NamedPort("", Protocol.TCP, 8080)), sliceEndpoints)));
    }

    @Test
    void keepsTheSnapshotWhenAnUnchangedObjectIsReplaced() {
        put("a", service(1, 1), slice(1, 1, 5));
        ServiceSnapshot before = builder.build();
        put("a", service(1, 1), slice(1, 1, 5));
        assertThat(builder.build()).isSameAs(before);
        put("a", slice(1, 1, 5));
        put("b", service(1, 1));
        assertThat(builder.build()).as("moved to another file").isSameAs(before);
    }

    @Test
    void frontendsOfOneFamilyShareTheEndpointList() {
        put(
                "a",
                new ServiceObject(
                        new ObjectKey(Kind.SERVICE, "ns", "s1"),
                        0,
                        List.of(IpAddress.v4(1), IpAddress.v4(2)),
                        SessionAffinity.NONE,
                        false,
                        External.NONE,
                        List.of(new ServiceObject.Port(new NamedPort("", Protocol.TCP, 80), 0))),
                slice(1, 1, 5, 6));
        ServicePort port = requireNonNull(builder.build().get(new ServicePortName("ns", "s1", "", Protocol.TCP)));
        var first = port.frontends().get(0);
        var second = port.frontends().get(1);
        assertThat(first.external().endpoints())
                .hasSize(2)
                .isSameAs(second.node().endpoints());
    }

    /** After any sequence of changes, the state is equal to a fresh build from the same files. */
    @Test
    void anySequenceOfChangesGivesTheStateOfAFreshBuild() {
        Random random = new Random(42);
        Map<String, SourceState> files = new HashMap<>();
        for (int round = 0; round < 2_000; round++) {
            String file = "f" + random.nextInt(6);
            List<KubeObject> objects = new ArrayList<>();
            for (int n = random.nextInt(4); n > 0; n--) {
                objects.add(randomObject(random));
            }
            SourceState state = new SourceState(withoutRepeats(objects), List.of());
            files.put(file, state);
            store.replace(file, state);
            if (random.nextInt(3) == 0) {
                assertEqualToFreshBuild(files);
            }
        }
    }

    private static KubeObject randomObject(Random random) {
        int i = random.nextInt(5);
        return switch (random.nextInt(10)) {
            case 0 -> node("n" + random.nextInt(2), "z" + random.nextInt(3));
            case 1, 2, 3 -> service(i, 1 + random.nextInt(3));
            case 4 ->
                new ServiceObject(
                        new ObjectKey(Kind.SERVICE, "ns", "s" + i),
                        random.nextInt(2),
                        List.of(IpAddress.v4(1 + random.nextInt(3))),
                        SessionAffinity.NONE,
                        random.nextBoolean(),
                        new External(
                                random.nextBoolean(),
                                List.of(IpAddress.v4(1 + random.nextInt(3))),
                                List.of(IpAddress.v4(20 + random.nextInt(3))),
                                List.of(),
                                random.nextInt(2)),
                        List.of(new ServiceObject.Port(new NamedPort("", Protocol.TCP, 80), random.nextInt(3))));
            case 5, 6 ->
                hinted(
                        i,
                        new Hints(List.of("z" + random.nextInt(3)), List.of()),
                        new Hints(List.of("z" + random.nextInt(3)), List.of("n" + random.nextInt(3))));
            default -> sliceOn(random.nextBoolean() ? 80 : 8080, random.nextInt(5), i, 1 + random.nextInt(3));
        };
    }

    private static List<KubeObject> withoutRepeats(List<KubeObject> objects) {
        Map<ObjectKey, KubeObject> byKey = new HashMap<>();
        objects.forEach(object -> byKey.put(object.key(), object));
        return List.copyOf(byKey.values());
    }

    private void assertEqualToFreshBuild(Map<String, SourceState> files) {
        ProblemTracker freshTracker = new ProblemTracker();
        ObjectStore freshStore = new ObjectStore(freshTracker);
        files.forEach(freshStore::replace);
        ServiceSnapshot fresh = new SnapshotBuilder(OPTIONS, freshStore, freshTracker).build();
        assertThat(Dump.of(builder.build())).isEqualTo(Dump.of(fresh));
        assertThat(problemTracker.publish((problem, appeared) -> {}))
                .isEqualTo(freshTracker.publish((problem, appeared) -> {}));
    }
}
