package io.sluice.feed;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.sluice.document.Problem;
import io.sluice.feed.ManifestReader.Manifest;
import io.sluice.model.ServiceSnapshot;
import io.sluice.rules.BuildOptions;
import io.sluice.rules.Dump;
import io.sluice.rules.Manifests;
import io.sluice.rules.ObjectStore.SourceState;
import io.sluice.thread.Supervisor;
import java.io.IOException;
import java.io.StringReader;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class SyncLoopTest {
    private final List<ServiceSnapshot> applied = new CopyOnWriteArrayList<>();
    private final List<String> reported = new CopyOnWriteArrayList<>();
    private final List<Long> rounds = new CopyOnWriteArrayList<>();
    private SyncLoop loop = loop(applied::add);

    private SyncLoop loop(Consumer<ServiceSnapshot> target) {
        return new SyncLoop(
                BuildOptions.on("n1"),
                target,
                (problem, appeared) -> reported.add((appeared ? "+ " : "- ") + problem),
                (nanos, triggers) -> rounds.add(nanos));
    }

    @AfterEach
    void close() {
        loop.close();
    }

    private static SourceState state(String name, String text) {
        try {
            Manifest manifest = ManifestReader.read(name, "", new StringReader(text));
            return new SourceState(manifest.objects(), manifest.problems());
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private void offer(String name, String text, boolean complete) {
        loop.offer(Map.of(name, state(name, text)), complete);
    }

    private void awaitApplied(String dump) {
        await().untilAsserted(() -> assertThat(Dump.of(loop.snapshot())).isEqualTo(dump));
    }

    @Test
    void appliesNothingBeforeTheFirstCompleteList() {
        loop.start(new Supervisor());
        offer("a", Manifests.service("web", "10.96.0.1") + "---\n{kind: Pod, apiVersion: v1}\n", false);
        await().until(() -> !loop.problems().isEmpty());
        assertThat(loop.synced()).isFalse();
        assertThat(loop.pendingSince())
                .as("nothing is pending before the lists are complete")
                .isEmpty();
        assertThat(loop.lastOffered()).isPresent();
        assertThat(applied).isEmpty();

        offer("b", Manifests.service("api", "10.96.0.2"), true);
        await().until(() -> loop.synced() && loop.pendingSince().isEmpty());
        assertThat(loop.lastApplied()).isPresent();
        assertThat(applied).singleElement().extracting(ServiceSnapshot::size).isEqualTo(2);
    }

    @Test
    void appliesAnEmptyFirstList() {
        loop.start(new Supervisor());
        loop.offer(Map.of(), true);
        await().until(loop::synced);
        assertThat(applied).containsExactly(ServiceSnapshot.empty());
    }

    @Test
    void appliesAChangeAfterTheThreadDied() {
        loop = loop(snapshot -> {
            applied.add(snapshot);
            if (applied.size() < 3) {
                throw new StackOverflowError("simulated");
            }
        });
        Supervisor supervisor = new Supervisor();
        loop.start(supervisor);
        offer("a", Manifests.service("web", "10.96.0.1"), true);
        awaitApplied("default/web 10.96.0.1:80/tcp -> REJECT");
        assertThat(applied).hasSize(3);
        assertThat(loop.pendingSince()).isEmpty();
        assertThat(supervisor.failures()).isEmpty();
    }

    @Test
    void reportsATargetThatBlocksAsAFailure() throws InterruptedException {
        CountDownLatch busy = new CountDownLatch(1);
        CountDownLatch release = new CountDownLatch(1);
        loop = loop(snapshot -> {
            busy.countDown();
            awaitUninterrupted(release);
        });
        AtomicLong clockNanos = new AtomicLong();
        Supervisor supervisor = new Supervisor(clockNanos::get);
        loop.start(supervisor);
        loop.offer(Map.of(), true);
        busy.await();
        assertThat(supervisor.failures()).isEmpty();
        clockNanos.addAndGet(Duration.ofSeconds(60).toNanos());
        assertThat(supervisor.failures()).containsExactly(new Supervisor.Failure("sluice-sync", "stuck for 60 s"));
        release.countDown();
        await().until(() -> supervisor.failures().isEmpty());
    }

    @Test
    void callsATargetThatIsNotReadyAgain() {
        List<Boolean> synced = new CopyOnWriteArrayList<>();
        loop = loop(snapshot -> {
            applied.add(snapshot);
            synced.add(loop.synced());
            if (applied.size() < 3) {
                throw new NotNowException("waits for another process");
            }
        });
        loop.start(new Supervisor());
        loop.offer(Map.of(), true);
        await().until(loop::synced);
        assertThat(applied).hasSize(3);
        assertThat(synced).as("while it is applied").containsExactly(false, false, false);
        assertThat(loop.pendingSince()).isEmpty();
    }

    @Test
    void appliesOnlyTheLastOfferOfASource() throws InterruptedException {
        CountDownLatch busy = new CountDownLatch(1);
        CountDownLatch release = new CountDownLatch(1);
        loop = loop(snapshot -> {
            applied.add(snapshot);
            busy.countDown();
            awaitUninterrupted(release);
        });
        loop.start(new Supervisor());
        offer("a", Manifests.service("web", "10.96.0.1"), true);
        busy.await();
        for (int i = 2; i < 200; i++) {
            offer("a", Manifests.service("web", "10.96.0." + i), true);
        }
        release.countDown();
        awaitApplied("default/web 10.96.0.199:80/tcp -> REJECT");
        assertThat(applied)
                .as("one for the first offer, one for all the others")
                .hasSize(2);
    }

    @Test
    void aPartialStateKeepsObjectsThatAreStillPending() {
        Problem broken = new Problem(Problem.Severity.ERROR, "a", "", "", "line 1, column 1: broken");
        offer("a", Manifests.service("web", "10.96.0.1"), false);
        loop.offer(Map.of("a", new SourceState(List.of(), List.of(broken), true)), true);
        loop.start(new Supervisor());
        awaitApplied("default/web 10.96.0.1:80/tcp -> REJECT");
        assertThat(loop.problems()).containsExactly(broken);
        loop.offer(Map.of("a", new SourceState(List.of(), List.of(), true)), true);
        await().until(() -> loop.problems().isEmpty());
        assertThat(Dump.of(loop.snapshot())).isEqualTo("default/web 10.96.0.1:80/tcp -> REJECT");
    }

    private static void awaitUninterrupted(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void doesNotApplyAnUnchangedStateAgain() {
        loop.start(new Supervisor());
        offer("a", Manifests.service("web", "10.96.0.1"), true);
        await().until(loop::synced);
        var before = loop.lastApplied();
        offer("a", Manifests.service("web", "10.96.0.1"), true);
        await().until(() -> loop.pendingSince().isEmpty());
        assertThat(applied).hasSize(1);
        assertThat(loop.lastApplied()).isEqualTo(before);
        assertThat(rounds).as("rounds that applied a snapshot").hasSize(1);
    }

    @Test
    void aChangeIsPendingFromItsOfferUntilItIsApplied() throws InterruptedException {
        CountDownLatch busy = new CountDownLatch(1);
        CountDownLatch release = new CountDownLatch(1);
        loop = loop(snapshot -> {
            busy.countDown();
            awaitUninterrupted(release);
        });
        loop.start(new Supervisor());
        offer("a", Manifests.service("web", "10.96.0.1"), true);
        busy.await();
        var first = loop.pendingSince();
        assertThat(first).isPresent();
        offer("a", Manifests.service("web", "10.96.0.2"), true);
        assertThat(loop.pendingSince()).as("time of the oldest change").isEqualTo(first);
        release.countDown();
        await().until(() -> loop.pendingSince().isEmpty());
        awaitApplied("default/web 10.96.0.2:80/tcp -> REJECT");
    }

    private static String node(String name, String more) {
        return "---\n{apiVersion: v1, kind: Node, metadata: {name: " + name + more + "}\n";
    }

    private void awaitNodeIneligible(String... why) {
        await().untilAsserted(() -> assertThat(loop.nodeIneligibleReason().stream())
                .hasSize(why.length)
                .allSatisfy(text -> assertThat(text).contains(why)));
    }

    @Test
    void reportsWhetherTheNodeIsEligibleForNewTraffic() {
        loop.start(new Supervisor());
        offer("nodes", node("n2", "}"), false);
        await().untilAsserted(() -> assertThat(loop.lastOffered()).isPresent());
        assertThat(loop.nodeIneligibleReason())
                .as("the Node may not be listed yet")
                .isEmpty();
        offer("nodes", node("n2", "}"), true);
        awaitNodeIneligible("there is no Node n1");
        offer("nodes", node("n1", "}, spec: {taints: [{key: other, effect: NoSchedule}]}"), true);
        awaitNodeIneligible();
        offer(
                "nodes",
                node("n1", "}, spec: {taints: [{key: ToBeDeletedByClusterAutoscaler, effect: NoSchedule}]}"),
                true);
        awaitNodeIneligible("the cluster autoscaler is about to delete its Node");
        offer("nodes", node("n1", "}, spec: {unschedulable: true, taints: [{key: other, effect: NoSchedule}]}"), true);
        awaitNodeIneligible();
        offer("nodes", node("n1", ", deletionTimestamp: '2026-01-01T00:00:00Z'}"), true);
        awaitNodeIneligible("its Node is being deleted");
        assertThat(applied).as("no Service changed").hasSize(1);
    }

    @Test
    void retriesATargetThatThrows() {
        AtomicInteger calls = new AtomicInteger();
        loop = loop(snapshot -> {
            if (calls.incrementAndGet() <= 2) {
                throw new IllegalStateException("not now");
            }
            applied.add(snapshot);
        });
        loop.start(new Supervisor());
        offer("a", Manifests.service("web", "10.96.0.1"), true);
        await().until(loop::synced);
        assertThat(calls).hasValue(3);
        assertThat(applied).hasSize(1);
        offer("a", Manifests.service("web", "10.96.0.2"), true);
        awaitApplied("default/web 10.96.0.2:80/tcp -> REJECT");
    }

    /** The objects would not be those of the applied snapshot. */
    @Test
    void tracesOnlyWhatIsApplied() {
        AtomicInteger calls = new AtomicInteger();
        AtomicBoolean fails = new AtomicBoolean();
        loop = loop(snapshot -> {
            calls.incrementAndGet();
            if (fails.get()) {
                throw new IllegalStateException("cannot be applied");
            }
        });
        loop.start(new Supervisor());
        assertThatThrownBy(() -> loop.trace(tracer -> {})).isInstanceOf(NotNowException.class);
        offer("a", Manifests.service("web", "10.96.0.1"), true);
        await().until(loop::synced);
        AtomicInteger traced = new AtomicInteger();
        loop.trace(tracer -> traced.incrementAndGet());
        fails.set(true);
        offer("a", Manifests.service("web", "10.96.0.2"), true);
        await().until(() -> calls.get() >= 2);
        assertThatThrownBy(() -> loop.trace(tracer -> traced.incrementAndGet()))
                .isInstanceOf(NotNowException.class)
                .hasMessageContaining("has not been applied");
        fails.set(false);
        awaitApplied("default/web 10.96.0.2:80/tcp -> REJECT");
        loop.trace(tracer -> traced.incrementAndGet());
        assertThat(traced).hasValue(2);
    }

    @Test
    void reportsEachProblemOnceWhenItAppearsAndOnceWhenItIsResolved() {
        loop.start(new Supervisor());
        String bad = Manifests.service("web", "10.96.0.999");
        String line = "a: Service default/web: spec.clusterIP: '10.96.0.999' is not an IPv4 or IPv6 address";
        offer("a", bad, true);
        await().until(loop::synced);
        offer("b", Manifests.service("api", "10.96.0.2"), true);
        awaitApplied("default/api 10.96.0.2:80/tcp -> REJECT");
        offer("a", bad + Manifests.service("x", "10.96.0.3"), true);
        awaitApplied("default/api 10.96.0.2:80/tcp -> REJECT\ndefault/x 10.96.0.3:80/tcp -> REJECT");
        assertThat(reported).containsExactly("+ " + line);
        assertThat(loop.problems()).extracting(Problem::toString).containsExactly(line);

        offer("a", Manifests.service("web", "10.96.0.1"), true);
        await().until(() -> loop.problems().isEmpty());
        assertThat(reported).containsExactly("+ " + line, "- " + line);
    }

    @Test
    void canBeClosedWithoutBeingStarted() {
        loop.close();
        loop.close();
        assertThat(loop.synced()).isFalse();
    }
}
