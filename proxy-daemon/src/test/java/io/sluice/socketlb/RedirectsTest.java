package io.sluice.socketlb;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.socketlb.MapFormat.FrontendEntry;
import io.sluice.socketlb.MapFormat.Pair;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What the maps contain after, and during, changes. */
final class RedirectsTest {
    private static final FrontendAddress WEB = BpfLab.frontend("10.96.0.1", 80);
    private static final FrontendAddress DNS = BpfLab.frontend("10.96.0.10", 53);
    private static final int STICKY = 60;

    private final FakeMap.Journal journal = new FakeMap.Journal(this::checkFrontends);
    private final FakeMap frontends = new FakeMap("frontends", journal);
    private final FakeMap endpoints = new FakeMap("endpoints", journal);
    private final FakeMap cursors = new FakeMap("cursors", journal);
    private final FakeMap members = new FakeMap("members", journal);
    private long now;
    private Redirects redirects = open();

    private Redirects open() {
        return new Redirects(new Redirects.Maps(frontends, endpoints, cursors, members), () -> now);
    }

    /** A later process, which knows only the maps. */
    private void adopt() throws BpfException {
        redirects = open();
        redirects.adopt();
        journal.calls.clear();
    }

    private static List<Endpoint> list(String... hosts) {
        return Arrays.stream(hosts)
                .map(host -> Objects.requireNonNull(Endpoint.parse("10.1.0." + host + ":8080")))
                .toList();
    }

    private static FrontendEntry entry(FakeMap frontends, FrontendAddress frontend) {
        return FrontendEntry.of(Objects.requireNonNull(frontends.get(MapFormat.address(frontend))));
    }

    /** A connection of a client at any time must find everything that its frontend refers to. */
    private void checkFrontends() {
        frontends.forEach((key, value) -> {
            FrontendEntry entry = FrontendEntry.of(value);
            assertThat(cursors.contains(key)).as("cursor").isTrue();
            for (int i = 0; i < entry.count(); i++) {
                ByteBuffer found = endpoints.get(MapFormat.setIndex(entry.set(), i));
                assertThat(found).as("endpoint " + i + " of " + entry).isNotNull();
                assertThat(found.getLong(0)).isEqualTo(entry.set());
                if (entry.affinitySeconds() > 0) {
                    Pair pair = new Pair(MapFormat.frontendAt(ByteBuffer.wrap(key), 0), MapFormat.entryEndpoint(found));
                    assertThat(members.contains(pair.toBytes()))
                            .as(pair.toString())
                            .isTrue();
                }
            }
        });
    }

    /** Nothing must be left in the maps but what the frontends in them need. */
    private void checkNoGarbage() throws BpfException {
        now += Redirects.RECLAIM_AFTER_NANOS;
        redirects.reclaim();
        checkFrontends();
        List<FrontendEntry> entries = new ArrayList<>();
        frontends.forEach((key, value) -> entries.add(FrontendEntry.of(value)));
        assertThat(endpoints.size())
                .as("endpoints")
                .isEqualTo(entries.stream().mapToInt(FrontendEntry::count).sum());
        assertThat(cursors.size()).as("cursors").isEqualTo(entries.size());
        assertThat(members.size())
                .as("members")
                .isEqualTo(entries.stream()
                        .mapToInt(entry -> entry.affinitySeconds() > 0 ? entry.count() : 0)
                        .sum());
    }

    /** Chooses an endpoint as the program does without session affinity. */
    private Endpoint connect(FrontendAddress frontend) throws BpfException {
        byte[] key = MapFormat.address(frontend);
        FrontendEntry entry = entry(frontends, frontend);
        long cursor = Objects.requireNonNull(cursors.get(key)).getLong(0);
        cursors.put(key, MapFormat.cursor(cursor + 1));
        byte[] at = MapFormat.setIndex(entry.set(), entry.index(cursor));
        return MapFormat.entryEndpoint(Objects.requireNonNull(endpoints.get(at)));
    }

    @Test
    void writesEndpointsBeforeTheFrontendAndRemovesThemAfterIt() throws BpfException {
        redirects.put(WEB, list("1", "2", "3"), STICKY);
        assertThat(journal.calls)
                .containsExactly("put endpoints 3", "put cursors 1", "put members 3", "put frontends 1");
        journal.calls.clear();
        redirects.put(WEB, list("2", "3", "4"), STICKY);
        assertThat(journal.calls)
                .containsExactly("put endpoints 3", "put members 1", "put frontends 1", "remove members 1");
        journal.calls.clear();
        redirects.remove(WEB);
        assertThat(journal.calls).startsWith("remove frontends 1").contains("remove cursors 1", "remove members 3");
        checkNoGarbage();
        assertThat(endpoints.size()).isZero();
        assertThat(redirects.size()).isZero();
    }

    @Test
    void writesOnlyDifferences() throws BpfException {
        redirects.put(WEB, list("1", "2"), 0);
        redirects.put(DNS, list("1"), STICKY);
        journal.calls.clear();
        redirects.put(WEB, list("1", "2"), 0);
        redirects.put(DNS, list("1"), STICKY);
        redirects.remove(BpfLab.frontend("10.96.0.1", 81));
        assertThat(journal.calls).isEmpty();
        redirects.put(WEB, list("1", "2"), STICKY);
        checkNoGarbage();
        redirects.put(WEB, list("1", "2"), 0);
        checkNoGarbage();
        assertThat(redirects.contains(new Pair(WEB, list("1").get(0)))).isTrue();
        assertThat(redirects.contains(new Pair(WEB, list("3").get(0)))).isFalse();
    }

    @Test
    void removesASetOneSecondAfterItsReplacement() throws BpfException {
        redirects.put(WEB, list("1", "2"), 0);
        long first = entry(frontends, WEB).set();
        now = 5;
        redirects.put(WEB, list("1"), 0);
        journal.calls.clear();
        now += Redirects.RECLAIM_AFTER_NANOS - 1;
        redirects.reclaim();
        assertThat(journal.calls).isEmpty();
        assertThat(endpoints.contains(MapFormat.setIndex(first, 1))).isTrue();
        now++;
        redirects.reclaim();
        assertThat(journal.calls).containsExactly("remove endpoints 2");
        assertThat(endpoints.size()).isEqualTo(1);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, STICKY})
    void aFailureAtAnyStepOfANewFrontendLeavesNothing(int affinitySeconds) throws BpfException {
        redirects.put(DNS, list("9"), STICKY);
        for (int step = 1; fails(step, WEB, list("1", "2", "3"), affinitySeconds); step++) {
            checkRejected();
        }
        checkNoGarbage();
        assertThat(frontends.size()).isEqualTo(2);
    }

    /** The removal of a member that is left over is a step, too, although the frontend's entry is written by then. */
    @ParameterizedTest
    @ValueSource(ints = {0, STICKY})
    void aFailureAtAnyStepOfAChangeLeavesTheFrontendToTheForwarder(int affinitySeconds) throws BpfException {
        redirects.put(DNS, list("9"), STICKY);
        redirects.put(WEB, list("1", "2", "3"), STICKY);
        for (int step = 1; fails(step, WEB, list("3", "4"), affinitySeconds); step++) {
            checkRejected();
            redirects.put(WEB, list("1", "2", "3"), STICKY);
        }
        checkNoGarbage();
        assertThat(frontends.size()).isEqualTo(2);
    }

    private boolean fails(int step, FrontendAddress frontend, List<Endpoint> to, int affinitySeconds)
            throws BpfException {
        journal.fail(step);
        try {
            redirects.put(frontend, to, affinitySeconds);
            assertThat(journal.isFailing())
                    .as("all steps before " + step + " failed")
                    .isTrue();
            journal.fail(0);
            return false;
        } catch (BpfException e) {
            assertThat(e.isFull()).isTrue();
            return true;
        }
    }

    private void checkRejected() throws BpfException {
        assertThat(frontends.contains(MapFormat.address(WEB))).isFalse();
        assertThat(redirects.contains(WEB)).isFalse();
        assertThat(redirects.contains(DNS)).isTrue();
        checkNoGarbage();
    }

    @Test
    void aFrontendThatCannotBeRemovedStays() throws BpfException {
        redirects.put(WEB, list("1", "2"), STICKY);
        journal.fail(1);
        assertThatThrownBy(() -> redirects.remove(WEB)).isInstanceOf(BpfException.class);
        assertThat(redirects.contains(WEB)).isTrue();
        checkNoGarbage();
        redirects.remove(WEB);
        checkNoGarbage();
    }

    @Test
    void adoptsCompleteSets() throws BpfException {
        redirects.put(WEB, list("1", "2"), STICKY);
        redirects.put(DNS, list("3"), 0);
        adopt();
        assertThat(redirects.frontends()).containsExactlyInAnyOrder(WEB, DNS);
        redirects.put(WEB, list("1", "2"), STICKY);
        redirects.put(DNS, list("3"), 0);
        assertThat(journal.calls).isEmpty();
        // A new set must not have the number of an adopted one.
        redirects.put(DNS, list("3", "4"), 0);
        checkNoGarbage();
        redirects.remove(WEB);
        redirects.remove(DNS);
        checkNoGarbage();
    }

    @Test
    void continuesInTurnAfterAdoption() throws BpfException {
        redirects.put(WEB, list("1", "2", "3"), 0);
        connect(WEB);
        adopt();
        redirects.put(WEB, list("3", "2"), 0);
        assertThat(connect(WEB)).isEqualTo(list("2").get(0));
    }

    @Test
    void replacesAnIncompleteSet() throws BpfException {
        redirects.put(WEB, list("1", "2"), STICKY);
        journal.observer = () -> {};
        endpoints.remove(MapFormat.setIndex(entry(frontends, WEB).set(), 0));
        adopt();
        redirects.put(WEB, list("1", "2"), STICKY);
        checkNoGarbage();
    }

    /** A member that is left over would keep clients with an affinity entry on an endpoint that is gone. */
    @Test
    void removesMembersAndCursorsThatAnInterruptedChangeLeft() throws BpfException {
        redirects.put(WEB, list("1", "2"), STICKY);
        redirects.put(DNS, list("3"), STICKY);
        byte[] dns = MapFormat.address(DNS);
        frontends.remove(dns);
        frontends.put(MapFormat.address(WEB), new FrontendEntry(2, 1, 0, 0).toBytes());
        adopt();
        checkNoGarbage();
    }

    @Test
    void removesSetsThatAnInterruptedChangeLeft() throws BpfException {
        redirects.put(WEB, list("1"), 0);
        redirects.put(WEB, list("2", "3"), 0);
        adopt();
        assertThat(endpoints.size()).isEqualTo(3);
        redirects.reclaim();
        assertThat(endpoints.size()).as("a program may still read them").isEqualTo(3);
        checkNoGarbage();
        assertThat(entry(frontends, WEB).count()).isEqualTo(2);
    }

    /** The next connection gets the endpoint whose turn it is, or the first after it that is still there. */
    @Test
    void changesKeepTheOrderOfTurns() throws BpfException {
        Random random = new Random(23);
        List<Endpoint> all = list("1", "2", "3", "4", "5", "6", "7");
        List<Endpoint> order = all;
        redirects.put(WEB, order, 0);
        // Beyond 2^32, and later beyond 2^63.
        cursors.put(MapFormat.address(WEB), MapFormat.cursor(7L << 40));
        int next = 0;
        for (int change = 0; change < 1_000; change++) {
            if (change == 500) {
                cursors.put(MapFormat.address(WEB), MapFormat.cursor(Long.MIN_VALUE - 1));
                next = entry(frontends, WEB).index(Long.MIN_VALUE - 1);
            }
            for (int i = random.nextInt(5); i > 0; i--) {
                assertThat(connect(WEB)).isEqualTo(order.get(next));
                next = (next + 1) % order.size();
            }
            List<Endpoint> shuffled = new ArrayList<>(all);
            Collections.shuffle(shuffled, random);
            List<Endpoint> after = List.copyOf(shuffled.subList(0, 1 + random.nextInt(all.size())));
            List<Endpoint> before = order;
            int turn = next;
            if (!after.equals(before)) {
                redirects.put(WEB, after, 0);
                next = 0;
                for (int i = before.size() - 1; i >= 0; i--) {
                    int index = after.indexOf(before.get((turn + i) % before.size()));
                    next = index < 0 ? next : index;
                }
                order = after;
            }
        }
        checkNoGarbage();
    }
}
