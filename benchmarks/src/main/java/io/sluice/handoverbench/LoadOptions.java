package io.sluice.handoverbench;

import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** The options that determine the load and the number of handovers. */
@SuppressWarnings("NullAway.Init") // picocli sets the fields
final class LoadOptions {
    private static final int MAX_INTERVAL_MILLIS = 500;
    private static final int MAX_CONNECTIONS = 9_000;

    @Spec(Spec.Target.MIXEE)
    private CommandSpec command;

    @Option(
            names = "--connections",
            paramLabel = "N",
            defaultValue = "8000",
            description = "established connections (default: ${DEFAULT-VALUE})")
    private int connections;

    @Option(
            names = "--active",
            paramLabel = "N",
            defaultValue = "1000",
            description = "established connections with traffic; the others are idle (default: ${DEFAULT-VALUE})")
    private int active;

    @Option(
            names = "--interval",
            paramLabel = "MILLISECONDS",
            defaultValue = "500",
            description = "mean time between two messages of an active connection (default: ${DEFAULT-VALUE})")
    private int intervalMillis;

    @Option(
            names = "--waiting",
            paramLabel = "N",
            defaultValue = "8",
            description = "connections that wait for an endpoint during all handovers (default: ${DEFAULT-VALUE})")
    private int waiting;

    @Option(
            names = "--handovers",
            paramLabel = "N",
            defaultValue = "20",
            description = "handovers to perform; 0 checks the load itself (default: ${DEFAULT-VALUE})")
    private int handovers;

    @Option(
            names = "--rate",
            paramLabel = "N",
            defaultValue = "1000",
            description = "new connections per second (default: ${DEFAULT-VALUE})")
    private int rate;

    @Option(
            names = "--udp-flows",
            paramLabel = "N",
            defaultValue = "100",
            description = "UDP flows (default: ${DEFAULT-VALUE})")
    private int udpFlows;

    @Option(
            names = "--bulk-rate",
            paramLabel = "MIB",
            defaultValue = "2",
            description = "rate in MiB/s at which each of the two bulk transfers is read; the sender is always faster."
                    + " 0 does not limit it, but then the transfers use all CPU time (default: ${DEFAULT-VALUE})")
    private int bulkMebibytes;

    @Option(
            names = "--mode",
            paramLabel = "MODE",
            defaultValue = "bind",
            description = "bind, on loopback; or node, in network namespaces, which needs root"
                    + " (default: ${DEFAULT-VALUE})")
    private Mode mode;

    @Option(
            names = "--warm-up",
            paramLabel = "SECONDS",
            defaultValue = "10",
            description = "duration of the load before the first handover (default: ${DEFAULT-VALUE})")
    private int warmUpSeconds;

    @Option(
            names = "--seconds",
            paramLabel = "SECONDS",
            defaultValue = "2",
            description = "time between two handovers (default: ${DEFAULT-VALUE})")
    private double seconds;

    @Option(
            names = "--drain-timeout",
            paramLabel = "SECONDS",
            defaultValue = "30",
            description = "drain timeout of Sluice (default: ${DEFAULT-VALUE})")
    private int drainTimeoutSeconds;

    @Option(
            names = "--quick",
            description = "other defaults: 500 connections, 100 of them active, 3 handovers, a warm-up of 5 s")
    private boolean quick;

    /** The mode of Sluice. */
    enum Mode {
        bind,
        node
    }

    /** Rejects values that the benchmark cannot measure, and applies {@code --quick}. */
    void check() {
        if (quick) {
            connections = isGiven("--connections") ? connections : 500;
            active = isGiven("--active") ? active : 100;
            handovers = isGiven("--handovers") ? handovers : 3;
            warmUpSeconds = isGiven("--warm-up") ? warmUpSeconds : 5;
        }
        require(handovers >= 0, "--handovers must not be negative");
        require(
                connections > 0 && connections <= MAX_CONNECTIONS,
                "--connections must be 1 to " + MAX_CONNECTIONS + ", because Sluice needs two descriptors for each");
        require(active > 0 && active <= connections, "--active must be 1 to the number of connections");
        require(
                intervalMillis > 0 && intervalMillis <= MAX_INTERVAL_MILLIS,
                "--interval must be 1 to " + MAX_INTERVAL_MILLIS);
        require(
                rate >= 0 && waiting >= 0 && udpFlows >= 0 && bulkMebibytes >= 0,
                "rates and numbers must not be negative");
    }

    private boolean isGiven(String option) {
        return command.commandLine().getParseResult().hasMatchedOption(option);
    }

    private void require(boolean valid, String message) {
        if (!valid) {
            throw new ParameterException(command.commandLine(), message);
        }
    }

    boolean isNode() {
        return mode == Mode.node;
    }

    LoadPlan plan(BenchNetwork network) {
        return new LoadPlan(
                network.service(1),
                network.service6(),
                network.service(2),
                network.service(3),
                network.port(),
                network.clients(),
                network.newClients(),
                network.client6(),
                connections,
                active,
                waiting,
                intervalMillis,
                rate,
                udpFlows,
                (long) bulkMebibytes << 20);
    }

    int handovers() {
        return handovers;
    }

    int warmUpSeconds() {
        return warmUpSeconds;
    }

    double seconds() {
        return seconds;
    }

    int drainTimeoutSeconds() {
        return drainTimeoutSeconds;
    }
}
