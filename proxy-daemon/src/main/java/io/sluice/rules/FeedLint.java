package io.sluice.rules;

import io.sluice.document.Problem;
import io.sluice.document.Problem.Severity;
import io.sluice.objects.EndpointsObject;
import io.sluice.objects.EndpointsObject.EndpointGroup;
import io.sluice.objects.Kind;
import io.sluice.objects.KubeObject;
import io.sluice.objects.NamedPort;
import io.sluice.objects.ServiceObject;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.stream.Collectors;

/**
 * Finds objects without a counterpart, such as a slice without a Service. Such objects are valid and occur briefly in a
 * running cluster, but usually indicate a mistake in a feed that is being checked. Only {@code sluice check} uses this
 * class, because the check visits every object.
 */
public final class FeedLint {
    private final ObjectStore store;
    private final LocalNode localNode;
    private final List<Problem> found = new ArrayList<>();

    private FeedLint(ObjectStore store, LocalNode localNode) {
        this.store = store;
        this.localNode = localNode;
    }

    /** Returns the problems found by checking all objects in the store. */
    public static List<Problem> of(ObjectStore store, LocalNode localNode) {
        FeedLint lint = new FeedLint(store, localNode);
        store.forEach(lint::check);
        return lint.found;
    }

    private void check(String source, KubeObject object) {
        if (object instanceof ServiceObject service && !service.clusterIps().isEmpty()) {
            service(source, service);
            nodePorts(source, service);
        } else if (object instanceof EndpointsObject slice
                && slice.key().kind() == Kind.ENDPOINT_SLICE
                && store.service(slice.service()) == null) {
            report(
                    Severity.NOTE,
                    source,
                    slice,
                    "Service " + slice.service() + " does not exist, so the slice is not used");
        }
    }

    private void service(String source, ServiceObject service) {
        Collection<EndpointsObject> objects = store.endpoints(service.service());
        if (objects.isEmpty()) {
            report(Severity.NOTE, source, service, "has no EndpointSlice, so connections are " + effect(service));
            return;
        }
        List<NamedPort> offered = objects.stream()
                .flatMap(endpoints -> endpoints.groups().stream())
                .map(EndpointGroup::ports)
                .flatMap(List::stream)
                .distinct()
                .toList();
        for (ServiceObject.Port each : service.ports()) {
            NamedPort port = each.named();
            if (!offered.isEmpty() && offered.stream().noneMatch(port::matches)) {
                report(
                        Severity.WARNING,
                        source,
                        service,
                        "connections to port " + port.port() + " are " + effect(service)
                                + ": its EndpointSlices have no " + name(port)
                                + ", only: "
                                + offered.stream()
                                        .map(FeedLint::name)
                                        .distinct()
                                        .collect(Collectors.joining(", ")));
            }
        }
    }

    /** What happens to connections of a Service without endpoints. */
    private static String effect(ServiceObject service) {
        return service.annotations().containsKey(PolicyKey.HOLD.name()) ? "held or rejected" : "rejected";
    }

    private void nodePorts(String source, ServiceObject service) {
        if (localNode.nodePortFrontends().isEmpty()
                && service.ports().stream().anyMatch(port -> port.nodePort() != 0)) {
            report(
                    Severity.NOTE,
                    source,
                    service,
                    localNode.addresses().isEmpty()
                            ? "its NodePorts are not served: no address of this node is known; set --node-ip, or set"
                                    + " --node-name and add that Node to the feed"
                            : "its NodePorts are not served: --nodeport-addresses matches no address of this node");
        }
    }

    private static String name(NamedPort port) {
        return port.name().isEmpty()
                ? "unnamed " + port.protocol() + " port"
                : port.protocol() + " port '" + port.name() + "'";
    }

    private void report(Severity severity, String source, KubeObject object, String message) {
        found.add(new Problem(severity, source, object.key().toString(), "", message));
    }
}
