package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Verifies the table of {@code deploy/docs/cni.md}: forwarded connections, and the network policies that apply to them. Stand-in
 * rules imitate each CNI, with its hooks and priorities. The pods are those of {@link NodeLab}: {@code pod} is routed,
 * {@code one} and {@code two} are on a bridge, {@code far} is on another node.
 */
@Tag("netns")
@Timeout(300)
@NeedsRoot
@Tag("one-jdk")
final class CniIT {
    @TempDir
    private static Path directory;

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static NodeLab lab;

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static SluiceProcess sluice;

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static NodeCases cases;

    private static final Map<String, List<String>> SERVICES = Map.of(
            // The far node itself, not a pod, as an API server would be.
            "far-node", List.of("192.0.2.9", "2001:db8:2::9"),
            "both", List.of("10.96.0.11", "fd00:96::11"),
            "to-pod", List.of("10.96.0.12", "fd00:96::12"),
            "to-pod-ext", List.of("203.0.113.12", "2001:db8:113::12"),
            "to-two", List.of("10.96.0.13", "fd00:96::13"),
            "api", List.of("10.96.0.14", "fd00:96::14"));

    @BeforeAll
    static void build() throws IOException {
        lab = NodeLab.oneNode();
        cases = new NodeCases(lab, SERVICES);
        cases.serve(8080, "pod", "two", "far", "far-node");
        String feed = NodeLab.NODES
                + cases.service("both").endpoints("pod", "far")
                + cases.service("to-pod").spec("externalTrafficPolicy: Local").endpoints("pod")
                + cases.service("to-two").endpoints("two")
                + cases.service("api").endpoints("far-node");
        Files.writeString(directory.resolve("feed.yaml"), feed);
        sluice = start();
    }

    private static SluiceProcess start() throws IOException {
        return NodeLab.sluice(directory, "node", "--cluster-cidr=10.244.0.0/16,fd00:10::/32");
    }

    @AfterAll
    static void remove() throws IOException {
        if (lab != null) {
            sluice.close();
            lab.close();
        }
    }

    @AfterEach
    void removeStandIn() throws IOException {
        removeRules();
    }

    private static void removeRules() throws IOException {
        for (String line : NodeLab.in("node", "nft list tables").lines().toList()) {
            if (line.endsWith(" standin")) {
                NodeLab.in("node", "nft delete " + line);
            }
        }
    }

    /** Loads rules in nft syntax; their tables must be named standin. */
    private static void standIn(String rules) throws IOException {
        Path file = Files.createTempFile(directory, "standin", ".nft");
        Files.writeString(file, rules);
        NodeLab.in("node", "nft -f " + file);
    }

    /** Asserts that no endpoint answers. Over TCP, the connection to Sluice may be established and then reset. */
    private static void assertNotForwarded(String client, String service) throws IOException {
        String to = " 4 " + client + " " + service + ":80";
        assertThat(cases.responses("tcp" + to, 10, 4))
                .as("tcp" + to)
                .isNotEmpty()
                .allMatch(answer -> answer.isEmpty() || answer.matches("DROP|REFUSED|java.*reset.*"));
        assertThat(cases.responses("udp" + to, 10, 4))
                .as("udp" + to)
                .isNotEmpty()
                .allMatch(answer -> answer.matches("DROP|REFUSED|java.*unreachable.*"));
    }

    /** Asks an endpoint without Sluice, to verify that a rule is active. */
    private static String askDirectly(String client, String address) throws IOException {
        return lab.tell(client, "ask tcp - " + address + " 8080 10");
    }

    /**
     * Waits until both endpoints answer: one that did not respond, because of rules or load, is skipped for some
     * seconds.
     */
    private static void assertBothAnswer() {
        await().atMost(Duration.ofSeconds(30)).untilAsserted(() -> cases.checkAll("one both:80 pod=one far=one"));
    }

    private static void assertForwarded() throws IOException {
        assertBothAnswer();
        cases.checkAll(
                "pod to-two:80 two=pod",
                "far to-pod:80 pod=far",
                "node to-pod:80 pod=node",
                "out to-pod-ext:80 pod=out");
    }

    /** flannel's rules, without the marks of kube-proxy. */
    @Test
    void flannelMasqueradesTrafficThatLeavesTheCluster() throws IOException {
        standIn("""
                table ip standin {
                  chain postrouting {
                    type nat hook postrouting priority srcnat;
                    ip saddr 10.244.0.0/21 ip daddr 10.244.0.0/16 return
                    ip saddr 10.244.0.0/16 ip daddr 10.244.0.0/21 return
                    ip saddr != 10.244.0.0/16 ip daddr 10.244.0.0/21 return
                    ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random
                    ip saddr != 10.244.0.0/16 ip daddr 10.244.0.0/16 masquerade fully-random
                  }
                  chain forward {
                    type filter hook forward priority filter; policy drop;
                    ip saddr 10.244.0.0/16 accept
                    ip daddr 10.244.0.0/16 accept
                  }
                }
                table ip6 standin {
                  chain postrouting {
                    type nat hook postrouting priority srcnat;
                    ip6 saddr fd00:10:0::/45 ip6 daddr fd00:10::/32 return
                    ip6 saddr fd00:10::/32 ip6 daddr fd00:10:0::/45 return
                    ip6 saddr != fd00:10::/32 ip6 daddr fd00:10:0::/45 return
                    ip6 saddr fd00:10::/32 ip6 daddr != ff00::/8 masquerade fully-random
                    ip6 saddr != fd00:10::/32 ip6 daddr fd00:10::/32 masquerade fully-random
                  }
                }
                """);
        assertForwarded();
        // An endpoint outside the pod network sees the node's address, because flannel masquerades after Sluice.
        cases.checkAll("one api:80 far=node");
    }

    /** kindnet's rules and policies, which do not apply to packets of root's processes. */
    @Test
    void kindnetPoliciesDoNotApplyToProxiedTraffic() throws IOException {
        standIn("""
                table inet standin {
                  chain postrouting {
                    type nat hook postrouting priority srcnat - 5;
                    ct state established,related accept
                    ip daddr 10.244.0.0/16 accept
                    ip6 daddr fd00:10::/32 accept
                    fib saddr type local accept
                    meta l4proto { tcp, udp } masquerade
                  }
                }
                """);
        assertForwarded();
        cases.checkAll("one api:80 far=node");
        standIn("""
                table inet standin {
                  chain policies {
                    type filter hook postrouting priority srcnat - 5;
                    meta skuid 0 accept
                    ct state established,related accept
                    ip saddr 10.244.1.10 drop
                    ip daddr 10.244.1.10 drop
                  }
                }
                """);
        assertThat(askDirectly("one", "10.244.1.10")).isEqualTo("DROP");
        assertThat(askDirectly("pod", "10.244.9.20")).isEqualTo("DROP");
        cases.checkAll("one to-pod:80 pod=one");
        cases.checkAll("pod to-two:80 two=pod");
    }

    /** kube-router's policies, as in k3s with flannel: in all three hooks, with an exception for the node. */
    @Test
    void kubeRouterPoliciesApplyToTheConnectionToTheEndpoint() throws IOException {
        standIn("""
                table ip standin {
                  chain input {
                    type filter hook input priority filter;
                    ip daddr 10.96.0.0/16 accept
                    jump pods
                  }
                  chain forward { type filter hook forward priority filter; jump pods; }
                  chain output { type filter hook output priority filter; jump pods; }
                  chain pods {
                    ip daddr 10.244.1.10 jump ingress
                    ip daddr 10.244.2.12 jump ingress
                    ip saddr 10.244.2.11 jump egress
                  }
                  # Of pod and two: from one.
                  chain ingress {
                    ct state established,related accept
                    fib saddr type local accept
                    ip saddr 10.244.2.11 return
                    reject
                  }
                  # Of one: to pod.
                  chain egress {
                    ct state established,related accept
                    ip daddr 10.244.1.10 return
                    reject
                  }
                }
                """);
        assertThat(askDirectly("far", "10.244.1.10")).isEqualTo("REFUSED");
        cases.checkAll("one to-pod:80 pod=one");
        assertNotForwarded("far", "to-pod");
        assertNotForwarded("pod", "to-two");
        // Client and endpoint are on one bridge, so the endpoint sees the node's address, which is always allowed.
        cases.checkAll("one to-two:80 two=node");
        // The client's egress policy drops packets to this endpoint, so Sluice tries the next one after a second.
        assertThat(cases.responses("tcp 4 one both:80", 10, 4))
                .contains("pod=one")
                .doesNotContain("far=one");
        removeRules();
        assertBothAnswer();
    }

    private static final String CALICO = """
            table ip standin {
              chain raw {
                type filter hook prerouting priority raw;
                meta mark set meta mark and 0xfff0ffff
                iifname "v-pod" meta mark set meta mark or 0x40000
                iifname "v-pod" fib saddr . mark . iif oif 0 drop
              }
              chain input {
                type filter hook input priority filter;
                iifname "v-pod" goto to-host
                meta mark and 0x10000 != 0 accept
              }
              chain forward {
                type filter hook forward priority filter;
                iifname "v-pod" jump from-pod
                oifname "v-pod" jump to-pod
                meta mark and 0x10000 != 0 accept
              }
              chain output {
                type filter hook output priority filter;
                meta mark and 0x10000 != 0 accept
                oifname "v-pod" return
              }
              chain to-host {
                jump from-pod
                TO_HOST
              }
              chain from-pod {
                ct state established,related accept
                ct state invalid drop
                meta mark set meta mark and 0xfffeffff
                EGRESS
                meta mark and 0x10000 != 0 return
                drop
              }
              chain to-pod {
                ct state established,related accept
                ct state invalid drop
                INGRESS
                drop
              }
            }
            """;

    private static void calico(String egress, String ingress, String toHost) throws IOException {
        standIn(CALICO.replace("EGRESS", egress).replace("INGRESS", ingress).replace("TO_HOST", toHost));
    }

    private static final String ALL = "meta mark set meta mark or 0x10000";

    @Test
    void forwardsBesideCalicoWithoutPolicies() throws IOException {
        calico(ALL, "return", "accept");
        assertForwarded();
    }

    @Test
    void calicoDropsTrafficFromPodsToTheNodeByDefault() throws IOException {
        calico(ALL, "return", "drop");
        assertNotForwarded("pod", "to-two");
        cases.checkAll("one to-pod:80 pod=one");
    }

    @Test
    void calicoEgressPoliciesMatchTheServiceAddress() throws IOException {
        calico("ip daddr 10.244.2.12 " + ALL, "return", "accept");
        assertThat(askDirectly("pod", "10.244.2.12")).isEqualTo("two 10.244.1.10");
        assertNotForwarded("pod", "to-two");
        removeRules();
        calico("ip daddr 10.96.0.13 " + ALL, "return", "accept");
        assertThat(askDirectly("pod", "10.244.2.12")).isEqualTo("DROP");
        cases.checkAll("pod to-two:80 two=pod");
    }

    @Test
    void calicoIngressPoliciesDoNotApplyOnTheEndpointsNode() throws IOException {
        calico(ALL, "ip saddr 10.244.9.20 return", "accept");
        assertThat(askDirectly("one", "10.244.1.10")).isEqualTo("DROP");
        cases.checkAll("one to-pod:80 pod=one");
    }

    /** Policies enforced on the pod's device, as with eBPF; the node is always allowed. */
    @Test
    void policiesOnTheDeviceMatchTheServiceAddressAndTheClientAddress() throws IOException {
        String device = """
                table netdev standin {
                  chain egress {
                    type filter hook ingress device "v-pod" priority 0;
                    ip daddr { %s } accept
                    ip protocol tcp tcp sport 8080 accept
                    ip protocol udp udp sport 8080 accept
                    ip version 4 drop
                  }
                  chain ingress {
                    type filter hook egress device "v-pod" priority 0;
                    ip saddr { 10.244.2.11, 169.254.1.1 } accept
                    ip protocol tcp tcp sport { 80, 8080 } accept
                    ip protocol udp udp sport { 80, 8080 } accept
                    ip version 4 drop
                  }
                }
                """;
        standIn(device.formatted("10.244.2.12"));
        cases.checkAll("one to-pod:80 pod=one");
        cases.checkAll("node to-pod:80 pod=node");
        assertNotForwarded("far", "to-pod");
        assertThat(askDirectly("pod", "10.244.2.12")).isEqualTo("two 10.244.1.10");
        assertNotForwarded("pod", "to-two");
        removeRules();
        standIn(device.formatted("10.96.0.13"));
        cases.checkAll("pod to-two:80 two=pod");
    }

    private static final String PROBED = "a test connection to 198.18.0.254 failed: ";

    /** Restarts Sluice with these rules and returns the warning of its startup check. */
    private static String startupWarning(String rules) throws Exception {
        sluice.signal("TERM");
        assertThat(sluice.err()).doesNotContain(PROBED);
        assertThat(sluice.exitCode()).isZero();
        standIn(rules);
        sluice = start();
        await().atMost(RunIT.TIMEOUT).until(() -> sluice.err().contains(PROBED));
        await().atMost(RunIT.TIMEOUT)
                .until(() -> !NodeLab.in("node", "nft list tables").contains("sluice-probe"));
        String warning = sluice.err()
                .lines()
                .filter(line -> line.contains(PROBED))
                .findFirst()
                .orElse("");
        sluice.signal("TERM");
        assertThat(sluice.exitCode()).isZero();
        removeRules();
        sluice = start();
        return warning;
    }

    @Test
    void warnsAtStartupThatAnInputChainDrops() throws Exception {
        assertThat(startupWarning("""
                table inet standin {
                  chain input {
                    type filter hook input priority filter; policy drop;
                    tcp dport 22 accept
                  }
                }
                """))
                .contains(
                        "an input chain (inet standin input, whose policy is drop) dropped the packet; accept mark 0x1000/0x1000");
    }

    @Test
    void warnsAtStartupThatTheMarkIsRemoved() throws Exception {
        assertThat(startupWarning("""
                table inet standin {
                  chain tidy { type filter hook prerouting priority filter; meta mark set 0; }
                }
                """))
                .contains("a prerouting chain (inet standin tidy) dropped the packet or cleared bit 12 of its mark");
    }

    @Test
    void warnsAtStartupThatAnotherRoutingRulePrecedes() throws Exception {
        NodeLab.in("node", "ip rule add priority 50 to 198.18.0.0/15 lookup main");
        try {
            assertThat(startupWarning(""))
                    .contains(
                            "a routing rule before priority 119 matched (198.18.0.254 via 198.51.100.7 dev v-out",
                            "see 'ip -4 rule'");
        } finally {
            NodeLab.in("node", "ip rule del priority 50");
        }
    }
}
