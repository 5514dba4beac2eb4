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
 * What joins nothing: legal, and common for a moment while a cluster works, but in a feed that somebody checks it is
 * seldom what was meant. Looks at everything there is, so it is for {@code check}, not for the daemon.
 */
public final class FeedLint {
    private final ObjectStore store;
    private final LocalNode here;
    private final List<Problem> found = new ArrayList<>();

    private FeedLint(ObjectStore store, LocalNode here) {
        this.store = store;
        this.here = here;
    }

    public static List<Problem> of(ObjectStore store, LocalNode here) {
        FeedLint ends = new FeedLint(store, here);
        store.forEach(ends::look);
        return ends.found;
    }

    private void look(String source, KubeObject object) {
        if (object instanceof ServiceObject service && !service.clusterIps().isEmpty()) {
            service(source, service);
            nodePorts(source, service);
        } else if (object instanceof EndpointsObject slice
                && slice.key().kind() == Kind.ENDPOINT_SLICE
                && store.service(slice.service()) == null) {
            report(Severity.NOTE, source, slice, "there is no Service " + slice.service() + ", so it is not used");
        }
    }

    private void service(String source, ServiceObject service) {
        Collection<EndpointsObject> objects = store.endpoints(service.service());
        if (objects.isEmpty()) {
            report(Severity.NOTE, source, service, "no EndpointSlice belongs to it, so connections are refused");
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
            if (!offered.isEmpty() && offered.stream().noneMatch(port::joins)) {
                report(
                        Severity.WARNING,
                        source,
                        service,
                        "port " + port.port() + " is refused: it needs a " + name(port)
                                + " in its EndpointSlices, and they have only a "
                                + offered.stream()
                                        .map(FeedLint::name)
                                        .distinct()
                                        .collect(Collectors.joining(", a ")));
            }
        }
    }

    private void nodePorts(String source, ServiceObject service) {
        if (here.nodePortFrontends().isEmpty() && service.ports().stream().anyMatch(port -> port.nodePort() != 0)) {
            report(
                    Severity.NOTE,
                    source,
                    service,
                    here.addresses().isEmpty()
                            ? "its node ports are not served: no address of this node is known; give --node-ip, or"
                                    + " --node-name with a Node of that name in the feed"
                            : "its node ports are not served: --nodeport-addresses names none of this node's addresses");
        }
    }

    private static String name(NamedPort port) {
        return port.protocol() + " port " + (port.name().isEmpty() ? "without a name" : "\"" + port.name() + "\"");
    }

    private void report(Severity severity, String source, KubeObject object, String message) {
        found.add(new Problem(severity, source, object.key().toString(), "", message));
    }
}
