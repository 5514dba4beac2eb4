package io.sluice.cli;

import io.sluice.text.HumanUnits;

/** Current traffic per second: the difference between two states of the daemon's counters. */
record Rates(double opened, double failed, double bytesToClient, double bytesToEndpoint) {

    /** Computes the rates of all Services together from two responses of {@code /status}. */
    static Rates between(Item earlier, Item later, double seconds) {
        Item before = earlier.object("totals");
        Item after = later.object("totals");
        return new Rates(
                rate(before, after, "connectionsOpened", seconds) + rate(before, after, "flowsOpened", seconds),
                rate(before, after, "connectionsFailed", seconds),
                rate(before, after, "bytesToClient", seconds),
                rate(before, after, "bytesToEndpoint", seconds));
    }

    /** Computes the rates of one Service from two items of {@code /services}. */
    static Rates ofService(Item before, Item after, double seconds) {
        return new Rates(
                rate(before, after, "total", seconds),
                rate(before, after, "failed", seconds),
                rate(before, after, "bytesToClient", seconds),
                rate(before, after, "bytesToEndpoint", seconds));
    }

    /** Returns 0 if the counter was reset, because the daemon was restarted. */
    private static double rate(Item before, Item after, String field, double seconds) {
        return Math.max(0, after.decimal(field) - before.decimal(field)) / seconds;
    }

    double bytes() {
        return bytesToClient + bytesToEndpoint;
    }

    /** Describes the traffic, such as {@code 12 new/s, 3.4 MB/s to clients, 20 kB/s to endpoints}. */
    @Override
    public String toString() {
        return HumanUnits.rate(opened) + " new/s, " + HumanUnits.bytes(bytesToClient) + "/s to clients, "
                + HumanUnits.bytes(bytesToEndpoint) + "/s to endpoints";
    }
}
