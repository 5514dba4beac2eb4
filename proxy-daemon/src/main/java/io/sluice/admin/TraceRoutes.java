package io.sluice.admin;

import io.sluice.balance.EndpointStatus;
import io.sluice.feed.NotNowException;
import io.sluice.forward.Forwarder;
import io.sluice.http.Response;
import io.sluice.model.Frontend;
import io.sluice.model.ServicePort;
import io.sluice.model.ServiceSnapshot;
import io.sluice.ops.CheckReport;
import io.sluice.ops.DaemonState;
import io.sluice.ops.TraceReport;
import io.sluice.rules.Trace.Packet;
import io.sluice.rules.Tracer;
import io.sluice.socketlb.SocketPath;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BiFunction;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** What {@code sluice trace} and {@code sluice check} show, for the objects that the daemon has. */
final class TraceRoutes {
    private final Forwarder forwarder;
    private final Supplier<DaemonState> state;
    private final Supplier<ServiceSnapshot> snapshot;
    private final BiFunction<ServicePort, Frontend, SocketPath> paths;
    private final Consumer<Consumer<Tracer>> trace;

    TraceRoutes(
            Forwarder forwarder,
            Supplier<DaemonState> state,
            Supplier<ServiceSnapshot> snapshot,
            BiFunction<ServicePort, Frontend, SocketPath> paths,
            Consumer<Consumer<Tracer>> trace) {
        this.forwarder = forwarder;
        this.state = state;
        this.snapshot = snapshot;
        this.paths = paths;
        this.trace = trace;
    }

    List<AdminRoute> routes() {
        return List.of(
                AdminRoute.get("/api/v1/trace", Set.of("from", "to"), this::trace),
                AdminRoute.get("/api/v1/check", Set.of(), request -> check()));
    }

    private Response trace(ApiRequest request) {
        String from = request.text("from");
        String to = request.text("to");
        if (from == null || to == null) {
            throw new ApiException(400, "set the parameters from=IP and to=IP:PORT/PROTOCOL");
        }
        Packet packet;
        try {
            packet = TraceReport.packet(from, to);
        } catch (IllegalArgumentException e) {
            throw new ApiException(400, String.valueOf(e.getMessage()));
        }
        TraceReport report = ask(tracer -> TraceReport.of(tracer.trace(packet), paths));
        return AdminRoutes.json(200, report.with(statuses(report, packet)).json(true));
    }

    private List<EndpointStatus> statuses(TraceReport report, Packet packet) {
        return snapshot.get().sorted().stream()
                .map(ServicePort::name)
                .filter(name ->
                        name.protocol() == packet.protocol() && name.toString().equals(report.service()))
                .flatMap(name -> forwarder.endpoints(name).stream())
                .toList();
    }

    private Response check() {
        Map<String, String> nodePortAddresses = ask(tracer -> {
            Map<String, String> addresses = new LinkedHashMap<>();
            tracer.nodePortAddresses().forEach((address, reason) -> addresses.put(address.toString(), reason));
            return addresses;
        });
        ServiceSnapshot current = snapshot.get();
        CheckReport report =
                new CheckReport(current, state.get().problems(), nodePortAddresses, CheckReport.paths(current, paths));
        return AdminRoutes.json(200, report.json());
    }

    private <T> T ask(Function<Tracer, T> question) {
        AtomicReference<@Nullable T> answer = new AtomicReference<>();
        try {
            trace.accept(tracer -> answer.set(question.apply(tracer)));
        } catch (NotNowException e) {
            throw new ApiException(503, String.valueOf(e.getMessage()));
        }
        T result = answer.get();
        if (result == null) {
            throw new ApiException(503, "the daemon is stopping");
        }
        return result;
    }
}
