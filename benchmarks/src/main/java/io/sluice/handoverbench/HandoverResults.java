package io.sluice.handoverbench;

import io.sluice.handoverbench.ClientProcess.Finished;
import io.sluice.handoverbench.ClientProcess.Window;
import io.sluice.handoverbench.EndpointProcess.Total;
import io.sluice.handoverbench.EndpointProcess.Totals;
import io.sluice.handoverbench.Faults.Fault;
import io.sluice.handoverbench.RequestLoad.Replied;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.ToDoubleFunction;

/** The results of all handovers, and the verdict against the targets. */
final class HandoverResults {
    static final double MAX_PAUSE_MILLIS = 250;
    private static final int DESCRIPTOR_NOISE = 50;
    private static final double MEMORY_NOISE_MEGABYTES = 16;
    private static final double MEMORY_NOISE = 1.1;

    final List<Handover> handovers = new ArrayList<>();

    /** Descriptors and memory of the serving process, after a garbage collection. */
    record Sample(long descriptors, double residentMegabytes, double heapMegabytes) {}

    /**
     * One handover.
     *
     * @param servingMillis from the start of the new process until it serves
     * @param exitedMillis from the start of the new process until the old process has exited
     * @param openBefore established connections before the handover
     * @param before the time before the handover, for comparison
     * @param during the time from the start of the new process until the old process has exited
     * @param newLog log lines of the new process up to this time; oldLog: last lines of the old process
     */
    record Handover(
            int number,
            double servingMillis,
            double exitedMillis,
            int oldExitCode,
            int openBefore,
            Window before,
            Window during,
            Sample sample,
            List<String> newLog,
            List<String> oldLog) {
        int moved() {
            return during.pauses().open();
        }

        int lost() {
            return openBefore - moved();
        }
    }

    /** A target and whether it is reached. */
    record Target(String name, boolean reached, String observed) {}

    /**
     * Compares the results with the targets.
     *
     * @param failedBefore new connections that failed before the first handover
     */
    List<Target> verdict(int planned, Finished client, Totals endpoints, long failedBefore, int exitCode) {
        List<Target> targets = new ArrayList<>();
        int resets = resets(client.faults());
        targets.add(new Target(
                "no connection reset or closed",
                resets + resets(endpoints.faults()) == 0,
                "%d at the client, %d at the endpoint".formatted(resets, resets(endpoints.faults()))));
        targets.add(bytes(client, endpoints));
        Replied replied = client.replied();
        targets.add(replied("every connection works at the end", replied.established(), replied.ofEstablished()));
        targets.add(replied("waiting connections get an endpoint", replied.waiting(), replied.ofWaiting()));
        if (!handovers.isEmpty()) {
            targets.add(limit(
                    "longest pause of an active connection",
                    h -> h.during.pauses().maxMillis()));
            targets.add(limit("longest gap of a transfer or half-closed connection", h -> h.during.specialGapMillis()));
        }
        long failed = client.connectFaults().total() - failedBefore;
        targets.add(new Target("no new connection fails", failed == 0, failed + " failed"));
        int lost = client.faults().of(Fault.UDP_LOST);
        int moved = client.faults().of(Fault.UDP_ENDPOINT);
        targets.add(new Target(
                "no datagram lost, no UDP flow at another endpoint",
                lost + moved == 0,
                lost + " lost, " + moved + " at another endpoint"));
        targets.add(new Target(
                "all handovers complete, exit code 0",
                handovers.size() == planned
                        && exitCode == 0
                        && handovers.stream().allMatch(h -> h.oldExitCode == 0),
                handovers.size() + " of " + planned));
        if (handovers.size() > 1) {
            targets.add(flat("descriptors do not grow", h -> h.sample.descriptors, 1, DESCRIPTOR_NOISE, ""));
            targets.add(memory("resident memory does not grow", h -> h.sample.residentMegabytes));
            targets.add(memory("used heap does not grow", h -> h.sample.heapMegabytes));
        }
        return targets;
    }

    private static Target bytes(Finished client, Totals endpoints) {
        int wrong = client.faults().of(Fault.BYTES) + endpoints.faults().of(Fault.BYTES);
        int different = different(client.specials(), endpoints.connections()).size();
        int missing = client.ofSpecials() - client.specials().size();
        return new Target(
                "no byte lost, repeated or changed",
                wrong + different + missing == 0,
                "%d connections with a wrong byte, %d with a wrong length, %d that did not end"
                        .formatted(wrong, different, missing));
    }

    private static int resets(Faults.Summary faults) {
        return faults.of(Fault.RESET) + faults.of(Fault.CLOSED);
    }

    private static Target replied(String name, int replied, int of) {
        return new Target(name, replied == of, replied + " of " + of);
    }

    /** Without open connections, there is no pause to measure, so the target is missed. */
    private Target limit(String name, ToDoubleFunction<Handover> figure) {
        String target = "%s <= %.0f ms".formatted(name, MAX_PAUSE_MILLIS);
        if (handovers.stream().anyMatch(h -> h.during.pauses().active() == 0)) {
            return new Target(target, false, "not measured: no active connection left");
        }
        double max = handovers.stream().mapToDouble(figure).max().orElse(0);
        return new Target(target, max <= MAX_PAUSE_MILLIS, "%.0f ms".formatted(max));
    }

    private Target memory(String name, ToDoubleFunction<Handover> figure) {
        return flat(name, figure, MEMORY_NOISE, MEMORY_NOISE_MEGABYTES, " MB");
    }

    /** Compares the last handover with the first one. */
    private Target flat(String name, ToDoubleFunction<Handover> figure, double factor, double noise, String unit) {
        double first = figure.applyAsDouble(handovers.get(0));
        double last = figure.applyAsDouble(handovers.get(handovers.size() - 1));
        return new Target(
                name,
                last <= first * factor + noise,
                "%.0f%s after the first handover, %.0f%s after the last".formatted(first, unit, last, unit));
    }

    /** Describes the connections on which one side received fewer or more bytes than the other sent. */
    static List<String> different(Map<Long, Total> client, Map<Long, Total> endpoint) {
        List<String> different = new ArrayList<>();
        client.forEach((number, one) -> {
            Total other = endpoint.getOrDefault(number, new Total(one.kind(), 0, 0, false));
            if (one.sent() != other.received() || one.received() != other.sent()) {
                different.add("LENGTH %s connection %d: %d of %d bytes arrived at the endpoint, %d of %d at the client"
                        .formatted(one.kind(), number, other.received(), one.sent(), one.received(), other.sent()));
            }
        });
        return different;
    }
}
