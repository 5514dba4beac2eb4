package io.sluice.rules;

import io.sluice.document.Problem;
import io.sluice.document.Problem.Severity;
import io.sluice.model.Family;
import io.sluice.model.Frontend;
import io.sluice.model.Frontend.Kind;
import io.sluice.model.FrontendAddress;
import io.sluice.model.ServicePortName;
import io.sluice.objects.ServiceKey;
import io.sluice.rules.EndpointChains.Link;
import java.util.ArrayList;
import java.util.List;

/** Creates problems for Services that cannot be served as their objects request. */
final class ServiceProblems {
    private final ObjectStore store;

    /** Creates an instance that looks up the source of each Service in the given store. */
    ServiceProblems(ObjectStore store) {
        this.store = store;
    }

    /** Returns the problems with the addresses on which this node serves NodePorts. */
    static List<Problem> ofNode(LocalNode localNode, BuildOptions options) {
        List<Problem> found = new ArrayList<>();
        for (Family family : Family.values()) {
            boolean has = localNode.addresses().stream()
                    .anyMatch(address -> address.family() == family && !address.isLoopback());
            if (has && !options.nodePortAddresses().concerns(family)) {
                found.add(new Problem(
                        Severity.WARNING,
                        "settings",
                        "",
                        "nodePortAddresses",
                        "contains no " + family + " range, so NodePorts are served on all " + family
                                + " addresses of the node"));
            }
        }
        if (localNode.unservedNodePortAddresses() > 0
                && localNode.nodePortRanges().isEmpty()) {
            found.add(new Problem(
                    Severity.WARNING,
                    "settings",
                    "",
                    "nodePortAddresses",
                    "matches "
                            + (LocalNode.MAX_NODE_PORT_ADDRESSES + localNode.unservedNodePortAddresses())
                            + " addresses, but NodePorts are served only on the first "
                            + LocalNode.MAX_NODE_PORT_ADDRESSES + "; use a narrower range"));
        }
        return found;
    }

    static boolean isOwn(ServiceKey key, ServicePortName name) {
        return name.namespace().equals(key.namespace()) && name.service().equals(key.name());
    }

    /** Returns the problem to report if another Service already uses a health check node port. */
    Problem healthCheckPort(ServiceKey key, int port, ServicePortName owner) {
        return new Problem(
                Severity.ERROR,
                store.sourceOf(key),
                "Service " + key,
                "spec.healthCheckNodePort",
                port + " is already used by Service " + owner.serviceName()
                        + ", which is older or sorts first by name; no health check is served for this Service");
    }

    /** Returns the problem to report if another Service or port already uses an address or NodePort. */
    Problem conflict(ServiceKey key, FrontendAddress address, Kind kind, ServicePortName owner) {
        boolean own = isOwn(key, owner);
        // Report a NodePort once, not for each of its addresses.
        String what = kind == Kind.NODE_PORT
                ? "NodePort " + address.port() + "/" + address.protocol().text()
                : address.toString();
        String message = own
                ? what + " is already used by port '" + owner.port() + "' of this Service"
                : what + " is already used by Service " + owner.serviceName()
                        + ", which is older or sorts first by name";
        String field = switch (kind) {
            case CLUSTER_IP -> own ? "spec.ports" : "spec.clusterIPs";
            case LOAD_BALANCER -> "status.loadBalancer.ingress";
            case EXTERNAL_IP -> "spec.externalIPs";
            case NODE_PORT -> "spec.ports";
        };
        return new Problem(Severity.ERROR, store.sourceOf(key), "Service " + key, field, message);
    }

    /** Returns the problem to report if an endpoint is excluded because it would cause a loop or a long chain. */
    Problem excludedEndpoint(ServiceKey key, Link link, String why) {
        String owner = isOwn(key, link.owner())
                ? "this Service"
                : "Service " + link.owner().serviceName();
        return new Problem(
                Severity.ERROR,
                store.sourceOf(key),
                "Service " + key,
                "",
                "endpoint " + link.endpoint() + " is ignored: it is itself an address of " + owner + ", and " + why);
    }

    /** Returns the problem to report if a frontend is not proxied because it is also an endpoint on this node. */
    Problem passed(ServiceKey key, Frontend frontend) {
        return new Problem(
                Severity.NOTE,
                store.sourceOf(key),
                "Service " + key,
                "",
                frontend.address() + " is not proxied on this node: it is also an endpoint of this Service, so packets"
                        + " are left to the process that listens there"
                        + (frontend.allowedSources().isEmpty()
                                ? ""
                                : "; source ranges are enforced for it only with --mode node"));
    }
}
