package io.sluice.cli;

import io.sluice.text.HumanUnits;
import io.sluice.text.Table;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * The summary of a daemon as less than 20 lines of text.
 *
 * @param status response of the admin API
 * @param failing some of the endpoints that do not answer, at most {@link #MAX_FAILING}
 */
record StatusReport(Item status, Rates rates, List<Item> failing, Instant now) {
    /** Number of failing endpoints that are listed. */
    static final int MAX_FAILING = 5;

    /** Number of failing watches and failed threads that are listed. */
    private static final int MAX_TROUBLES = 3;

    private static final List<String> FRONTEND_STATES = List.of("active", "failed", "pending", "draining");

    /** Returns the lines, of at most {@code width} characters. */
    List<String> lines(int width) {
        List<String> lines = new ArrayList<>();
        add(lines, "state", state());
        add(lines, "process", process());
        addHandover(lines);
        addSocketLb(lines);
        add(lines, "feed", feed());
        addWatches(lines);
        Item counts = status.object("counts");
        add(
                lines,
                "services",
                counts.number("services") + ", with " + Table.count(counts.number("servicePorts"), "port"));
        Map<String, Long> frontends = counts.object("frontends").numbers();
        add(lines, "frontends", states(frontends));
        if (frontends.getOrDefault("failed", 0L) > 0) {
            add(lines, "", "'sluice services --state degraded' and '... failing' list the Services concerned");
        }
        add(lines, "endpoints", states(counts.object("endpoints").numbers()));
        add(
                lines,
                "traffic",
                Table.count(counts.number("connections"), "connection") + ", "
                        + Table.count(counts.number("flows"), "flow") + "; " + rates);
        Item totals = status.object("totals");
        add(
                lines,
                "failures",
                totals.count("connectionsFailed") + " of "
                        + Table.count(totals.number("connectionsOpened"), "connection")
                        + " since the start; now " + HumanUnits.rate(rates.failed()) + "/s");
        addFailing(lines);
        status.list("failedThreads").stream()
                .limit(MAX_TROUBLES)
                .forEach(each -> add(lines, "thread", each.text("thread") + ": " + each.text("error")));
        return lines.stream().map(line -> Table.truncated(line, width)).toList();
    }

    private static void add(List<String> lines, String name, String text) {
        lines.add((name + " ".repeat(Math.max(0, 11 - name.length())) + text).stripTrailing());
    }

    private String state() {
        String reason = status.text("reason");
        // The reason of a ready daemon starts with this word already.
        String ready = reason.startsWith("ready") ? reason : "ready: " + reason;
        return (status.isTrue("ready") ? ready : "NOT READY: " + reason)
                + (status.isTrue("draining") ? "; draining" : "");
    }

    private String process() {
        String node = status.text("node");
        return "Sluice " + status.text("version") + ", pid " + status.text("pid") + ", " + status.text("mode") + " mode"
                + (node.isEmpty() ? "" : " on " + node) + ", up " + status.age("startTime", now) + ", log level "
                + status.text("logLevel");
    }

    private void addHandover(List<String> lines) {
        Item handover = status.object("handover");
        if (!handover.text("receivedAt").isEmpty()) {
            String from = handover.text("fromPid");
            add(
                    lines,
                    "handover",
                    "received " + received(handover) + (from.isEmpty() ? "" : " from process " + from) + ", "
                            + handover.age("receivedAt", now) + " ago");
        }
    }

    private void addSocketLb(List<String> lines) {
        Item socketLb = status.object("socketLb");
        String state = socketLb.text("state");
        String reason = socketLb.text("reason");
        if (state.equals("on")) {
            add(
                    lines,
                    "socket-lb",
                    "on: " + Table.count(socketLb.number("frontends"), "frontend") + ", "
                            + Table.count(socketLb.number("connections"), "connection")
                            + (reason.isEmpty() ? "" : "; " + reason));
        } else if (!state.isEmpty() && !state.equals("off")) {
            add(lines, "socket-lb", state + ": " + reason);
        }
    }

    /** What a process received in a handover, as in {@code 3 frontends, 4 UDP flows, 812 connections}. */
    static String received(Item handover) {
        return Table.count(handover.number("frontends"), "frontend") + ", "
                + Table.count(handover.number("flows"), "UDP flow") + ", "
                + Table.count(handover.number("connections"), "connection");
    }

    private String feed() {
        Item feed = status.object("feed");
        String problems = feed.object("problems").numbers().entrySet().stream()
                .filter(entry -> entry.getValue() > 0)
                .map(entry -> Table.count(entry.getValue(), entry.getKey()))
                .collect(Collectors.joining(", "));
        String age = feed.age("lastChange", now);
        return (feed.isTrue("stale") ? "STALE: " : "")
                + feed.text("source")
                + (age.equals("-") ? "; no change yet" : "; last change " + age + " ago")
                + (problems.isEmpty() ? "" : "; " + problems + " ('sluice check --live' lists them)");
    }

    private void addWatches(List<String> lines) {
        List<Item> watches = status.object("feed").list("watches");
        if (watches.isEmpty()) {
            return;
        }
        long synced = watches.stream().filter(watch -> watch.isTrue("synced")).count();
        add(lines, "watches", synced + " of " + watches.size() + " synced");
        watches.stream()
                .filter(watch -> !watch.text("trouble").isEmpty())
                .limit(MAX_TROUBLES)
                .forEach(watch -> add(lines, "", watch.text("resource") + ": " + watch.text("trouble")));
    }

    private static String states(Map<String, Long> numbers) {
        String states = numbers.entrySet().stream()
                .filter(entry -> entry.getValue() > 0)
                .sorted((a, b) -> Integer.compare(rank(a.getKey()), rank(b.getKey())))
                .map(entry -> entry.getValue() + " " + entry.getKey())
                .collect(Collectors.joining(", "));
        return states.isEmpty() ? "none" : states;
    }

    private static int rank(String state) {
        int rank = FRONTEND_STATES.indexOf(state);
        return rank < 0 ? FRONTEND_STATES.size() : rank;
    }

    private void addFailing(List<String> lines) {
        for (Item endpoint : failing) {
            add(
                    lines,
                    "",
                    endpoint.text("service") + " " + endpoint.text("address") + ": " + endpoint.text("state") + " for "
                            + endpoint.age("since", now) + ", " + endpoint.text("lastError"));
        }
        if (failing.size() == MAX_FAILING) {
            add(lines, "", "'sluice endpoints --state refusing' (or silent, ejected) lists all of them");
        }
    }
}
