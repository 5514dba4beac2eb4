package io.sluice.admin;

import io.sluice.forward.Forwarder;
import io.sluice.handover.ReceivedHandover;
import io.sluice.handover.Upgrade;
import io.sluice.http.Response;
import io.sluice.model.ServiceSnapshot;
import io.sluice.ops.DaemonState;
import io.sluice.ops.EventLog;
import io.sluice.rules.Tracer;
import io.sluice.socketlb.SocketLoadBalancer;
import io.sluice.thread.Supervisor;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * What the admin API reads from the daemon. All functions are called on the two threads of the admin API.
 *
 * @param mode {@code bind} or {@code node}
 * @param node name of the node
 * @param source where Services come from, for people
 * @param phase phase of the process
 * @param handover what the process received from the old process; null if it started alone
 * @param readiness the response of {@code /readyz}
 * @param failedThreads threads that have failed or are stuck
 * @param configuration the settings in the structure of a configuration file, without secrets
 * @param trace passes a tracer for the current objects to an action, and waits until the action has ended
 */
public record AdminSources(
        String mode,
        String node,
        String source,
        Instant started,
        Supplier<String> phase,
        Supplier<@Nullable ReceivedHandover> handover,
        Upgrade upgrade,
        Supplier<Response> readiness,
        Supplier<DaemonState> state,
        Supplier<List<Supervisor.Failure>> failedThreads,
        Supplier<ServiceSnapshot> snapshot,
        Forwarder forwarder,
        EventLog events,
        Map<String, Object> configuration,
        SocketLoadBalancer sockets,
        Consumer<Consumer<Tracer>> trace) {

    /** All routes of the admin API and the status page. */
    public List<AdminRoute> routes() {
        List<AdminRoute> routes = new ArrayList<>();
        routes.addAll(new StatusRoutes(this).routes());
        routes.addAll(new UpgradeRoutes(upgrade).routes());
        routes.addAll(new ServiceRoutes(forwarder, snapshot, sockets::path).routes());
        routes.addAll(new EndpointRoutes(forwarder, snapshot, events).routes());
        routes.addAll(new ConnectionRoutes(forwarder, sockets, snapshot).routes());
        routes.addAll(new EventRoutes(events).routes());
        routes.add(AdminRoute.constant("/api/v1/config", AdminRoutes.json(200, configuration)));
        StatusPage.responses().forEach((path, file) -> routes.add(AdminRoute.constant(path, file)));
        routes.addAll(new TraceRoutes(forwarder, state, snapshot, sockets::path, trace).routes());
        return routes;
    }
}
