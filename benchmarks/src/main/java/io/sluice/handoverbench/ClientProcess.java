package io.sluice.handoverbench;

import io.netty.channel.EventLoop;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.sluice.handoverbench.ConnectLoad.Connects;
import io.sluice.handoverbench.RequestLoad.Pauses;
import io.sluice.handoverbench.RequestLoad.Replied;
import java.io.IOException;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.json.JsonMapper;

/** The process with the client side of all connections. Measures pauses on one event loop; the other has the rest. */
final class ClientProcess {
    private static final int REMOVED_CONNECTIONS = 8;
    private static final int FLOW_SECONDS = 1;

    private final MultiThreadIoEventLoopGroup requestLoop = Worker.loops(1, "requests");
    private final MultiThreadIoEventLoopGroup otherLoop = Worker.loops(1, "other");
    private final LoopLateness requestLateness = new LoopLateness((EventLoop) requestLoop.next());
    private final LoopLateness otherLateness = new LoopLateness((EventLoop) otherLoop.next());
    private final Faults faults = new Faults();
    private final RequestLoad requests;
    private final ConnectLoad connects;
    private final SpecialConnections specials;
    private final UdpFlows flows;
    private @Nullable UrgentConnection urgent;

    private ClientProcess(LoadPlan plan) {
        requests = new RequestLoad(plan, requestLoop, faults);
        connects = new ConnectLoad(plan, otherLoop);
        specials = new SpecialConnections(plan, otherLoop, faults);
        flows = new UdpFlows(plan, otherLoop, faults);
    }

    /**
     * What happened since the previous window ended.
     *
     * @param connectFailures new connections that failed since the load was started; faults are since then, too
     */
    record Window(
            Pauses pauses,
            double specialGapMillis,
            Connects connects,
            long connectFailures,
            UdpFlows.Replies udp,
            double latenessMillis,
            Faults.Summary faults) {}

    /** The result after all connections were used and closed; the totals are of special connections that ended. */
    record Finished(
            Replied replied,
            Map<Long, EndpointProcess.Total> specials,
            int ofSpecials,
            Faults.Summary faults,
            Faults.Summary connectFaults) {}

    public static void main(String[] args) throws IOException {
        LoadPlan plan = JsonMapper.builder().build().readValue(args[0], LoadPlan.class);
        ClientProcess process = new ClientProcess(plan);
        Worker.serve((command, argument) -> process.execute(plan, command));
        System.exit(0);
    }

    private Object execute(LoadPlan plan, String command) throws IOException, InterruptedException {
        switch (command) {
            case "open" -> {
                // First, because Sluice ends short flows immediately while more than 75 % of the descriptors are used.
                flows.open();
                flows.start();
                TimeUnit.SECONDS.sleep(FLOW_SECONDS);
                requests.open(REMOVED_CONNECTIONS);
                specials.open();
                urgent = new UrgentConnection(plan, faults);
                urgent.start();
            }
            case "start" -> {
                requests.start();
                connects.start();
            }
            case "window" -> {
                return window();
            }
            case "stop" -> {
                requests.stop();
                flows.stop();
                connects.stop();
                specials.allowEnd();
            }
            case "finish" -> {
                return finish();
            }
            default -> throw new IOException("unknown command " + command);
        }
        return new Worker.Done();
    }

    /** Ends the window on both loops. */
    private Window window() {
        record Measured(Pauses pauses, long lateness) {}
        record Other(double gap, Connects connects, UdpFlows.Replies udp, long lateness) {}
        Measured measured = requestLoop
                .submit(() -> new Measured(requests.takePauses(), requestLateness.takeMaxNanos()))
                .syncUninterruptibly()
                .getNow();
        Other other = otherLoop
                .submit(() -> new Other(
                        specials.takeGapMillis(), connects.take(), flows.take(), otherLateness.takeMaxNanos()))
                .syncUninterruptibly()
                .getNow();
        return new Window(
                measured.pauses,
                other.gap,
                other.connects,
                connects.faults().total(),
                other.udp,
                Math.max(measured.lateness, other.lateness) / 1e6,
                faults.summary());
    }

    private Finished finish() throws InterruptedException {
        if (urgent != null) {
            urgent.finish();
        }
        Map<Long, EndpointProcess.Total> totals = specials.finish();
        Replied replied = requests.finish();
        // New connections that were opened last still have time to get a reply.
        TimeUnit.SECONDS.sleep(1);
        return new Finished(replied, totals, specials.count(), faults.summary(), connects.faults());
    }
}
