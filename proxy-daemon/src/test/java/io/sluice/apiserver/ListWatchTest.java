package io.sluice.apiserver;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.feed.SyncLoop.Trigger;
import io.sluice.rules.Manifests;
import io.sluice.rules.ObjectStore.SourceState;
import io.sluice.thread.Supervisor;
import io.sluice.thread.Worker;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A watch whose thread fails while it processes a change. */
final class ListWatchTest implements WatchListener {
    private static final String WEB = "/api/v1/namespaces/default/services/web";
    private static final String DNS = "/api/v1/namespaces/default/services/dns";

    private final FakeCluster cluster = new FakeCluster();
    private final Map<String, SourceState> reported = new ConcurrentHashMap<>();
    private final List<String> troubles = new CopyOnWriteArrayList<>();
    private final AtomicBoolean fail = new AtomicBoolean();
    private final Supervisor supervisor = new Supervisor();
    private final SharedBackoff retry = new SharedBackoff(
            Duration.ofMillis(1), Duration.ofMillis(10), Duration.ZERO, System::nanoTime, new Random(1));

    @SuppressWarnings("NullAway.Init") // set in @BeforeEach
    private ListWatch watch;

    @SuppressWarnings("NullAway.Init") // set in @BeforeEach
    private Worker worker;

    @BeforeEach
    void startWatch() throws IOException {
        cluster.start();
        cluster.apply(Manifests.service("web", "10.96.0.1"));
        Duration soon = Duration.ofMillis(1);
        Duration late = Duration.ofMinutes(1);
        WatchTimeouts timeouts = new WatchTimeouts(late, late, late, soon, soon, soon, soon, Duration.ZERO);
        watch = new ListWatch(cluster.client(), Resource.services(""), "", true, timeouts, retry, this);
        worker = supervisor.loop("sluice-watch-services", watch::run);
        await().until(() -> reported.containsKey(WEB));
    }

    @AfterEach
    void close() {
        worker.stop();
        watch.close();
        cluster.close();
    }

    @Override
    public void changed(Map<String, SourceState> objects, List<Trigger> triggers) {
        if (fail.compareAndSet(true, false)) {
            throw new StackOverflowError("thrown by the test");
        }
        reported.putAll(objects);
    }

    @Override
    public void listed(Resource resource) {}

    @Override
    public void unavailable(Resource resource) {}

    @Override
    public void trouble(Resource resource, String server, String trouble) {
        troubles.add(trouble);
    }

    @Override
    public @Nullable Resource fallbackFor(Resource resource) {
        return null;
    }

    @Test
    void reportsAChangeAgainAfterAFailure() {
        fail.set(true);
        cluster.apply(Manifests.service("dns", "10.96.0.2"));
        await().until(() -> reported.containsKey(DNS));
        assertThat(fail).isFalse();
        assertThat(supervisor.failures()).isEmpty();
    }

    @Test
    void reportsADeletionAgainAfterAFailure() {
        fail.set(true);
        cluster.delete(WEB);
        await().until(() -> SourceState.GONE.equals(reported.get(WEB)));
        assertThat(fail).isFalse();
    }

    /** A back-off after 403 responses, as when a role was missing for a while, must not delay the list. */
    @Test
    void listsAtOnceAfterErrorResponses() {
        cluster.changeUnseen(() -> cluster.apply(Manifests.service("dns", "10.96.0.2")));
        cluster.compact();
        cluster.fail("watch=true", 3, 403, "", "{\"message\":\"forbidden\",\"code\":403}");
        cluster.breakWatches();
        await().until(() -> reported.containsKey(DNS));
        assertThat(troubles).anyMatch(each -> each.contains("forbidden")).noneMatch(each -> each.contains("too old"));
    }
}
