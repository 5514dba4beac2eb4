package io.sluice.node;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

class NetworkPolicyCheckTest {
    private static JsonNode chain(String table, String name) {
        return JsonMapper.shared().readTree("""
                {"nftables": [
                  {"metainfo": {"version": "1.0.6"}},
                  {"chain": {"family": "inet", "table": "sluice", "name": "prerouting", "handle": 1}},
                  {"chain": {"family": "ip", "table": "%s", "name": "%s", "handle": 7}}
                ]}""".formatted(table, name));
    }

    @ParameterizedTest
    @CsvSource({
        "kindnet-network-policies, postrouting, eth0, do not apply",
        "kube-network-policies, postrouting, eth0, do not apply",
        "filter, cali-FORWARD, eth0, apply only in part",
        "filter, FORWARD, cali1234567890a, apply only in part",
        "filter, FORWARD, cilium_host, Cilium",
        "filter, FORWARD, ovn-k8s-mp0, OVN-Kubernetes"
    })
    void warnsAboutTheCniOfTheNode(String table, String chain, String device, String words) {
        Optional<String> warning = NetworkPolicyCheck.warning(chain(table, chain), Set.of("lo", device));
        assertThat(warning).hasValueSatisfying(text -> assertThat(text).contains("NetworkPolicies", words));
    }

    @Test
    void doesNotWarnWherePoliciesApplyOrNoneExist() {
        // flannel, and kube-router's policies as in k3s.
        Set<String> interfaces = Set.of("lo", "eth0", "flannel.1", "cni0", "veth12345678");
        assertThat(NetworkPolicyCheck.warning(chain("filter", "KUBE-ROUTER-FORWARD"), interfaces))
                .isEmpty();
    }
}
