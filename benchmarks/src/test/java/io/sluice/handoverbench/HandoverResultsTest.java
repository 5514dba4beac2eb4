package io.sluice.handoverbench;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.handoverbench.ClientProcess.Finished;
import io.sluice.handoverbench.ClientProcess.Window;
import io.sluice.handoverbench.ConnectLoad.Connects;
import io.sluice.handoverbench.EndpointProcess.Total;
import io.sluice.handoverbench.EndpointProcess.Totals;
import io.sluice.handoverbench.Faults.Fault;
import io.sluice.handoverbench.HandoverResults.Handover;
import io.sluice.handoverbench.HandoverResults.Sample;
import io.sluice.handoverbench.HandoverResults.Target;
import io.sluice.handoverbench.Opening.Kind;
import io.sluice.handoverbench.RequestLoad.Pauses;
import io.sluice.handoverbench.RequestLoad.Replied;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class HandoverResultsTest {
    private static final Map<Long, Total> CLIENT = Map.of(7L, new Total(Kind.SOURCE, 900, 0, true));
    private static final Map<Long, Total> ENDPOINT = Map.of(7L, new Total(Kind.SOURCE, 0, 900, true));
    private static final Finished ALL_WORK = finished(CLIENT, Faults.Summary.NONE, Faults.Summary.NONE);
    private static final Totals NO_FAULT = new Totals(ENDPOINT, Faults.Summary.NONE);

    private final HandoverResults results = new HandoverResults();

    private static Finished finished(Map<Long, Total> specials, Faults.Summary faults, Faults.Summary connectFaults) {
        return new Finished(new Replied(8, 8, 2, 2), specials, 1, faults, connectFaults);
    }

    private static Faults.Summary one(Fault fault) {
        return new Faults.Summary(Map.of(fault, 1), List.of());
    }

    private static Window window(int open, double maxMillis) {
        return new Window(
                new Pauses(open, open, 100, 1, 2, maxMillis),
                30,
                new Connects(50, 0, 5, 9),
                0,
                new UdpFlows.Replies(10, 3),
                1,
                Faults.Summary.NONE);
    }

    private static Handover handover(int number, int open, double maxMillis, long descriptors) {
        return new Handover(
                number,
                700,
                900,
                0,
                8,
                window(8, 10),
                window(open, maxMillis),
                new Sample(descriptors, 100, 20),
                List.of(),
                List.of());
    }

    private List<String> missed(Finished client, Totals endpoints) {
        return results.verdict(results.handovers.size(), client, endpoints, 0, 0).stream()
                .filter(target -> !target.reached())
                .map(Target::name)
                .toList();
    }

    @Test
    void reachesAllTargets() {
        results.handovers.add(handover(1, 8, 250, 200));
        results.handovers.add(handover(2, 8, 20, 240));
        assertThat(missed(ALL_WORK, NO_FAULT)).isEmpty();
    }

    @Test
    void missesTheTargetOfALongPause() {
        results.handovers.add(handover(1, 8, 251, 200));
        assertThat(missed(ALL_WORK, NO_FAULT)).containsExactly("longest pause of an active connection <= 250 ms");
    }

    @Test
    void doesNotCallAPauseShortIfNoConnectionIsLeft() {
        results.handovers.add(handover(1, 0, 0, 200));
        assertThat(results.verdict(1, ALL_WORK, NO_FAULT, 0, 0))
                .filteredOn(target -> !target.reached())
                .extracting(Target::observed)
                .containsOnly("not measured: no active connection left");
    }

    @Test
    void missesTheTargetsOfFaults() {
        results.handovers.add(handover(1, 8, 20, 200));
        assertThat(missed(finished(CLIENT, one(Fault.RESET), Faults.Summary.NONE), NO_FAULT))
                .containsExactly("no connection reset or closed");
        assertThat(missed(ALL_WORK, new Totals(ENDPOINT, one(Fault.CLOSED))))
                .containsExactly("no connection reset or closed");
        assertThat(missed(ALL_WORK, new Totals(ENDPOINT, one(Fault.BYTES))))
                .containsExactly("no byte lost, repeated or changed");
        assertThat(missed(finished(CLIENT, Faults.Summary.NONE, one(Fault.CONNECT)), NO_FAULT))
                .containsExactly("no new connection fails");
        assertThat(missed(finished(CLIENT, one(Fault.UDP_ENDPOINT), Faults.Summary.NONE), NO_FAULT))
                .containsExactly("no datagram lost, no UDP flow at another endpoint");
    }

    @Test
    void missesTheTargetOfBytesIfATransferIsShorterOrDidNotEnd() {
        results.handovers.add(handover(1, 8, 20, 200));
        Map<Long, Total> shorter = Map.of(7L, new Total(Kind.SOURCE, 899, 0, true));
        assertThat(missed(finished(shorter, Faults.Summary.NONE, Faults.Summary.NONE), NO_FAULT))
                .containsExactly("no byte lost, repeated or changed");
        assertThat(missed(finished(Map.of(), Faults.Summary.NONE, Faults.Summary.NONE), NO_FAULT))
                .containsExactly("no byte lost, repeated or changed");
    }

    @Test
    void missesTheTargetOfDescriptorsThatGrow() {
        results.handovers.add(handover(1, 8, 20, 200));
        results.handovers.add(handover(2, 8, 20, 251));
        assertThat(missed(ALL_WORK, NO_FAULT)).containsExactly("descriptors do not grow");
    }

    @Test
    void missesTheTargetOfHandoversThatDidNotComplete() {
        results.handovers.add(handover(1, 8, 20, 200));
        assertThat(results.verdict(2, ALL_WORK, NO_FAULT, 0, 0))
                .filteredOn(target -> !target.reached())
                .extracting(Target::observed)
                .containsExactly("1 of 2");
        assertThat(results.verdict(1, ALL_WORK, NO_FAULT, 0, 1))
                .extracting(Target::reached)
                .contains(false);
    }

    @Test
    void showsADashForAPauseThatWasNotMeasured() {
        results.handovers.add(handover(1, 0, 0, 200));
        assertThat(HandoverReport.table(results.handovers).lines())
                .last()
                .asString()
                .containsSubsequence("| ", "700 |", "900 |", "0 |", "8 |", "- |", "- |", "- |", "10.0 |", "- |");
    }
}
