package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.daemon.Lifecycle.Phase;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

final class LifecycleTest {
    private final List<Phase> phases = new ArrayList<>();

    private Lifecycle lifecycle(boolean anotherServes) {
        return new Lifecycle(anotherServes, (before, after) -> phases.addAll(List.of(before, after)));
    }

    @Test
    void aNewProcessTakesOverServesAndHandsOver() {
        Lifecycle lifecycle = lifecycle(true);
        assertThat(lifecycle.enter(Phase.SERVING)).as("the old process serves").isFalse();
        assertThat(lifecycle.hasServed()).isFalse();
        lifecycle.handoverReceived();
        assertThat(lifecycle.phase()).isEqualTo(Phase.STARTING);
        assertThat(lifecycle.hasReceivedHandover()).isTrue();
        assertThat(lifecycle.hasServed()).isTrue();
        assertThat(lifecycle.enter(Phase.SERVING)).isTrue();
        assertThat(lifecycle.enter(Phase.SERVING)).as("only once").isFalse();
        assertThat(lifecycle.enter(Phase.HANDOVER_FAILED)).isFalse();
        assertThat(lifecycle.isStopping()).isFalse();
        assertThat(lifecycle.enter(Phase.HANDED_OVER)).isTrue();
        assertThat(lifecycle.isStopping()).isTrue();
        AtomicInteger calls = new AtomicInteger();
        lifecycle.whenServedElsewhere(calls::incrementAndGet);
        lifecycle.released();
        assertThat(calls).hasValue(1);
        assertThat(lifecycle.enter(Phase.DRAINING)).isTrue();
        assertThat(lifecycle.isServedElsewhere()).isTrue();
        assertThat(phases)
                .containsExactly(
                        Phase.WAITING,
                        Phase.STARTING,
                        Phase.STARTING,
                        Phase.SERVING,
                        Phase.SERVING,
                        Phase.HANDED_OVER,
                        Phase.HANDED_OVER,
                        Phase.DRAINING);
    }

    @Test
    void endsAfterLosingTheHandover() {
        Lifecycle lifecycle = lifecycle(true);
        assertThat(lifecycle.enter(Phase.HANDOVER_FAILED)).isTrue();
        assertThat(lifecycle.enter(Phase.STARTING)).isFalse();
        assertThat(lifecycle.enter(Phase.CLOSED)).isTrue();
        assertThat(lifecycle.enter(Phase.DRAINING)).as("already closed").isFalse();
        assertThat(lifecycle.handoverFailed()).isTrue();
    }

    @Test
    void hasServedNothingWhenStoppedWhileWaiting() {
        Lifecycle lifecycle = lifecycle(true);
        assertThat(lifecycle.enter(Phase.DRAINING)).isTrue();
        assertThat(lifecycle.phase().isStopping()).isTrue();
        assertThat(lifecycle.enter(Phase.STARTING)).isFalse();
        assertThat(lifecycle.hasServed()).isFalse();
        lifecycle.handoverReceived();
        assertThat(lifecycle.phase()).isEqualTo(Phase.DRAINING);
        assertThat(lifecycle.hasServed()).as("the handover was in progress").isTrue();
    }

    @Test
    void servesUntilDrainWithoutAHandover() {
        Lifecycle lifecycle = lifecycle(false);
        assertThat(lifecycle.enter(Phase.WAITING)).isFalse();
        assertThat(lifecycle.enter(Phase.SERVING)).isTrue();
        assertThat(lifecycle.hasReceivedHandover()).isFalse();
        assertThat(lifecycle.enter(Phase.DRAINING)).isTrue();
        assertThat(lifecycle.enter(Phase.HANDED_OVER)).isFalse();
        assertThat(lifecycle.isServedElsewhere()).isFalse();
    }
}
