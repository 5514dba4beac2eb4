package io.sluice.node;

import java.io.IOException;
import java.net.NetworkInterface;
import java.util.LinkedHashSet;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.databind.JsonNode;

/**
 * Recognizes CNI plugins whose NetworkPolicies do not apply to proxied connections, or apply to different addresses
 * than with kube-proxy, and logs a warning at startup. {@code deploy/docs/cni.md} lists the cases; {@code CniIT} documents the
 * reasons.
 */
final class NetworkPolicyCheck {
    private static final Logger log = LoggerFactory.getLogger(NetworkPolicyCheck.class);

    private NetworkPolicyCheck() {}

    /** Reads the nftables chains and network interfaces of this machine, and logs {@link #warning}. */
    static void run(NodeKernel kernel) {
        try {
            Set<String> interfaces = NetworkInterface.networkInterfaces()
                    .map(NetworkInterface::getName)
                    .collect(Collectors.toSet());
            warning(kernel.list("chains"), interfaces).ifPresent(log::warn);
        } catch (IOException | RuntimeException e) {
            log.warn("cannot check whether NetworkPolicies apply: {}", e.getMessage());
        }
    }

    /**
     * Returns the warning for this node's CNI plugin; empty if the plugin is not recognized, or enforces policies in
     * the same way as with kube-proxy.
     *
     * @param chains output of {@code nft -j list chains}
     * @param interfaces names of network interfaces
     */
    static Optional<String> warning(JsonNode chains, Set<String> interfaces) {
        Set<String> tables = new LinkedHashSet<>();
        boolean calico = interfaces.stream().anyMatch(name -> name.startsWith("cali"));
        for (JsonNode each : chains.path("nftables")) {
            JsonNode chain = each.path("chain");
            tables.add(chain.path("table").asString(""));
            calico |= chain.path("name").asString("").startsWith("cali-");
        }
        if (tables.stream().anyMatch(table -> table.endsWith("network-policies"))) {
            return Optional.of("NetworkPolicies do not apply to connections through Services, except ingress from other"
                    + " nodes: this node uses kindnet's policies, which do not check packets that root's processes send;"
                    + " see deploy/docs/cni.md");
        }
        if (calico) {
            return Optional.of(
                    "NetworkPolicies apply only in part to connections through Services: this node uses Calico,"
                            + " which allows all ingress from the host to its pods and checks the Service's address"
                            + " for egress; see deploy/docs/cni.md");
        }
        if (interfaces.contains("cilium_host") || interfaces.contains("ovn-k8s-mp0")) {
            return Optional.of(
                    "NetworkPolicies might not apply to connections through Services: Sluice is not tested with"
                            + " this node's CNI (" + (interfaces.contains("cilium_host") ? "Cilium" : "OVN-Kubernetes")
                            + "); see deploy/docs/cni.md");
        }
        return Optional.empty();
    }
}
