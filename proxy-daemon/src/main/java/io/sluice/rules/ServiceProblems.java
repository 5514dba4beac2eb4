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

/** What a Service wants and does not get, in words. */
final class ServiceProblems {
    private final ObjectStore store;

    /** @param store knows where each Service was read from */
    ServiceProblems(ObjectStore store) {
        this.store = store;
    }

    /** What is wrong with the node port addresses of this node. */
    static List<Problem> ofNode(LocalNode here, BuildOptions options) {
        List<Problem> found = new ArrayList<>();
        for (Family family : Family.values()) {
            boolean has =
                    here.addresses().stream().anyMatch(address -> address.family() == family && !address.isLoopback());
            if (has && !options.nodePortAddresses().concerns(family)) {
                found.add(new Problem(
                        Severity.WARNING,
                        "settings",
                        "",
                        "nodePortAddresses",
                        "names nothing of " + family + ", so node ports answer on all " + family
                                + " addresses of the node"));
            }
        }
        if (here.unservedNodePortAddresses() > 0 && here.nodePortRanges().isEmpty()) {
            found.add(new Problem(
                    Severity.WARNING,
                    "settings",
                    "",
                    "nodePortAddresses",
                    "matches " + here.unservedNodePortAddresses() + " more addresses than the "
                            + LocalNode.MAX_NODE_PORT_ADDRESSES
                            + " on which node ports are served; give a narrower range"));
        }
        return found;
    }

    static boolean isOwn(ServiceKey key, ServicePortName name) {
        return name.namespace().equals(key.namespace()) && name.service().equals(key.name());
    }

    /** A health check node port that another Service has. */
    Problem healthCheckPort(ServiceKey key, int port, ServicePortName owner) {
        return new Problem(
                Severity.ERROR,
                store.sourceOf(key),
                "Service " + key,
                "spec.healthCheckNodePort",
                port + " belongs to Service " + owner.serviceName() + ", which is older or comes first by name");
    }

    /** An address or node port that another Service, or another port of the same one, has. */
    Problem conflict(ServiceKey key, FrontendAddress address, Kind kind, ServicePortName owner) {
        boolean own = isOwn(key, owner);
        // A node port is one thing, on however many addresses.
        String what = kind == Kind.NODE_PORT
                ? "node port " + address.port() + "/" + address.protocol().text()
                : address.toString();
        String message = own
                ? what + " is taken by this Service's port \"" + owner.port() + "\""
                : what + " belongs to Service " + owner.serviceName() + ", which is older or comes first by name";
        String field = switch (kind) {
            case CLUSTER_IP -> own ? "spec.ports" : "spec.clusterIPs";
            case LOAD_BALANCER -> "status.loadBalancer.ingress";
            case EXTERNAL_IP -> "spec.externalIPs";
            case NODE_PORT -> "spec.ports";
        };
        return new Problem(Severity.ERROR, store.sourceOf(key), "Service " + key, field, message);
    }

    /** An endpoint that is itself an address of a Service, and may not be forwarded to. */
    Problem leftOut(ServiceKey key, Link link, String why) {
        String whose = isOwn(key, link.owner())
                ? "this Service itself"
                : "Service " + link.owner().serviceName();
        return new Problem(
                Severity.ERROR,
                store.sourceOf(key),
                "Service " + key,
                "",
                "endpoint " + link.endpoint() + " is left out: it is an address of " + whose + ", and " + why);
    }

    /** A frontend that is left to the process of this node which is its endpoint. */
    Problem passed(ServiceKey key, Frontend frontend) {
        return new Problem(
                Severity.NOTE,
                store.sourceOf(key),
                "Service " + key,
                "",
                frontend.address() + " is not proxied on this node: it is an endpoint of this Service, and left to the"
                        + " process that listens there"
                        + (frontend.allowedSources().isEmpty()
                                ? ""
                                : "; loadBalancerSourceRanges are enforced there only with --mode node"));
    }
}
