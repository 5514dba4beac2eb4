package io.sluice.daemon;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * What the README's table says of CNIs: proxied connections, and policies that are enforced on them, beside rules that
 * stand in for each CNI, at the hooks and in the order in which it has them. The pods are those of {@link NodeLab}: {@code
 * pod} is routed, {@code one} and {@code two} are on a bridge, {@code far} is on another node.
 */
@Tag("netns")
@Timeout(300)
final class CniIT {
    @TempDir
    private static Path folder;

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static NodeLab lab;

    @SuppressWarnings("NullAway.Init") // likewise
    private static Sluice sluice;

    private static final List<String> POD = List.of("10.244.1.10", "fd00:10:1::10");
    private static final List<String> TWO = List.of("10.244.2.12", "fd00:10:2::12");
    private static final List<String> FAR = List.of("10.244.9.20", "fd00:10:9::20");
    private static final List<String> OUT = List.of("198.51.100.7", "2001:db8:51::7");
    /** No pod: the far node itself, as an API server would be. */
    private static final List<String> FAR_NODE = List.of("192.0.2.9", "2001:db8:2::9");

    /** Cluster IPs, by family. */
    private static final Map<String, List<String>> SERVICES = Map.of(
            "both", List.of("10.96.0.11", "fd00:96::11"),
            "pod", List.of("10.96.0.12", "fd00:96::12"),
            "two", List.of("10.96.0.13", "fd00:96::13"),
            "api", List.of("10.96.0.14", "fd00:96::14"));

    @BeforeAll
    static void build() throws IOException {
        assumeTrue(
                Files.getAttribute(Path.of("/proc/self"), "unix:uid").equals(0), "needs root, for network namespaces");
        lab = new NodeLab();
        for (int family = 0; family < 2; family++) {
            for (String server : List.of(
                    "pod " + POD.get(family),
                    "two " + TWO.get(family),
                    "far " + FAR.get(family),
                    "far " + FAR_NODE.get(family))) {
                String[] words = server.split(" ");
                assertThat(lab.tell(words[0], "serve " + words[1] + " 8080")).isEqualTo("ok");
            }
        }
        String feed =
                """
                apiVersion: v1
                kind: Node
                metadata: {name: n1}
                status: {addresses: [{type: InternalIP, address: 192.0.2.1}, {type: InternalIP, address: "2001:db8:2::1"}]}
                """ + service("both", POD, FAR) + service("pod", POD) + service("two", TWO) + service("api", FAR_NODE);
        Files.writeString(folder.resolve("feed.yaml"), feed);
        sluice = start();
    }

    private static Sluice start() throws IOException {
        List<String> args = new ArrayList<>(NodeLab.exec("node"));
        args.addAll(List.of(
                Sluice.HOME.resolve("bin/sluice").toString(),
                "run",
                "--mode=node",
                "--feed=" + folder.resolve("feed.yaml"),
                "--node-name=n1",
                "--cluster-cidr=10.244.0.0/16,fd00:10::/32",
                "--healthz-bind-address=off",
                "--metrics-bind-address=off",
                "--loops=1"));
        Sluice started = Sluice.start(
                folder,
                Path.of(args.get(0)),
                Map.of(),
                args.subList(1, args.size()).toArray(String[]::new));
        await().atMost(RunIT.PATIENCE).until(() -> started.err().contains("frontends active"));
        return started;
    }

    @SafeVarargs
    private static String service(String name, List<String>... endpoints) {
        List<String> ips = ips(name);
        StringBuilder text = new StringBuilder(
                """
                ---
                apiVersion: v1
                kind: Service
                metadata: {name: %s}
                spec: {clusterIP: %s, clusterIPs: ['%s'], ipFamilies: [IPv4, IPv6],
                  externalIPs: ['%s'], externalTrafficPolicy: Local, type: LoadBalancer, healthCheckNodePort: 0,
                  ports: [{name: t, port: 80}, {name: u, port: 80, protocol: UDP}]}
                """.formatted(name, ips.get(0), String.join("', '", ips), String.join("', '", external(name))));
        for (int family = 0; family < 2; family++) {
            StringBuilder list = new StringBuilder();
            for (List<String> endpoint : endpoints) {
                String node = endpoint == POD || endpoint == TWO ? "n1" : "n2";
                list.append(list.isEmpty() ? "" : ", ")
                        .append("{addresses: ['" + endpoint.get(family) + "'], nodeName: " + node + "}");
            }
            text.append("""
                    ---
                    apiVersion: discovery.k8s.io/v1
                    kind: EndpointSlice
                    metadata: {name: %s-%d, labels: {kubernetes.io/service-name: %s}}
                    addressType: IPv%d
                    ports: [{name: t, port: 8080}, {name: u, port: 8080, protocol: UDP}]
                    endpoints: [%s]
                    """.formatted(name, family, name, family == 0 ? 4 : 6, list));
        }
        return text.toString();
    }

    private static List<String> ips(String service) {
        return requireNonNull(SERVICES.get(service));
    }

    private static List<String> external(String service) {
        return ips(service).stream()
                .map(ip -> ip.replace("10.96.0", "203.0.113").replace("fd00:96", "2001:db8:113"))
                .toList();
    }

    @AfterAll
    static void remove() throws IOException {
        if (lab != null) {
            sluice.close();
            lab.close();
        }
    }

    @AfterEach
    void tidy() throws IOException {
        removeRules();
    }

    private static void removeRules() throws IOException {
        for (String line : NodeLab.in("node", "nft list tables").lines().toList()) {
            if (line.endsWith(" standin")) {
                NodeLab.in("node", "nft delete " + line);
            }
        }
    }

    /** Rules as nft reads them, in tables called standin. */
    private static void standIn(String rules) throws IOException {
        Path file = Files.createTempFile(folder, "standin", ".nft");
        Files.writeString(file, rules);
        NodeLab.in("node", "nft -f " + file);
    }

    /** What a client hears at a service, asked often enough to hear each endpoint. */
    private static Set<String> heard(String client, String protocol, String address) throws IOException {
        Set<String> heard = new TreeSet<>();
        int family = address.contains(":") ? 1 : 0;
        // These two have several addresses.
        String from = client.equals("far") ? FAR.get(family) : client.equals("out") ? OUT.get(family) : "-";
        for (int i = 0; i < 4; i++) {
            heard.add(lab.tell(client, "ask " + protocol + " " + from + " " + address + " 80 10")
                    .replaceAll("(^|:)0(:0)+(:|$)", "::"));
        }
        return heard;
    }

    private static void assertHeard(String client, String service, int family, String... expected) throws IOException {
        for (String protocol : List.of("tcp", "udp")) {
            assertThat(heard(client, protocol, ips(service).get(family)))
                    .as("%s %s %s", protocol, client, ips(service).get(family))
                    .containsExactlyInAnyOrder(expected);
        }
    }

    /** No endpoint ever says anything; over TCP it may be seen that somebody was there. */
    private static void assertUnheard(String client, String service) throws IOException {
        assertThat(heard(client, "tcp", ips(service).get(0)))
                .as("tcp %s %s", client, service)
                .allMatch(answer -> answer.isEmpty() || answer.matches("DROP|REFUSED|java.*reset.*"));
        assertThat(heard(client, "udp", ips(service).get(0)))
                .as("udp %s %s", client, service)
                .allMatch(answer -> answer.matches("DROP|REFUSED|java.*unreachable.*"));
    }

    /** The same endpoint without us, so that a rule is known to be in force. */
    private static String direct(String client, String address) throws IOException {
        return lab.tell(client, "ask tcp - " + address + " 8080 10");
    }

    private static void assertProxied() throws IOException {
        assertHeard("one", "both", 0, "pod 10.244.2.11", "far 10.244.2.11");
        assertHeard("one", "both", 1, "pod fd00:10:2::11", "far fd00:10:2::11");
        assertHeard("pod", "two", 0, "two 10.244.1.10");
        assertHeard("far", "pod", 0, "pod 10.244.9.20");
        assertHeard("node", "pod", 0, "pod 169.254.1.1");
        for (String protocol : List.of("tcp", "udp")) {
            assertThat(heard("out", protocol, external("pod").get(0))).containsExactly("pod 198.51.100.7");
            assertThat(heard("out", protocol, external("pod").get(1))).containsExactly("pod 2001:db8:51::7");
        }
    }

    /** flannel's own rules, but for the marks of kube-proxy. */
    @Test
    void flannelMasqueradesWhatLeavesTheCluster() throws IOException {
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
        assertProxied();
        // An endpoint that is no pod sees the node, whose address is put in the place of the client's after us.
        assertHeard("one", "api", 0, "far 192.0.2.1");
        assertHeard("one", "api", 1, "far 2001:db8:2::1");
    }

    /** kindnet's, and its policies: what a process of root's sends is not judged. */
    @Test
    void kindnetJudgesNothingThatIsProxied() throws IOException {
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
        assertProxied();
        assertHeard("one", "api", 0, "far 192.0.2.1");
        assertHeard("one", "api", 1, "far 2001:db8:2::1");
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
        assertThat(direct("one", "10.244.1.10")).isEqualTo("DROP");
        assertThat(direct("pod", "10.244.9.20")).isEqualTo("DROP");
        assertHeard("one", "pod", 0, "pod 10.244.2.11");
        assertHeard("pod", "two", 0, "two 10.244.1.10");
    }

    /** kube-router's policies, as k3s has them over flannel: in all three hooks, and the node itself is let in. */
    @Test
    void kubeRouterJudgesTheSecondLeg() throws IOException {
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
        assertThat(direct("far", "10.244.1.10")).isEqualTo("REFUSED");
        assertHeard("one", "pod", 0, "pod 10.244.2.11");
        assertUnheard("far", "pod");
        assertUnheard("pod", "two");
        // Client and endpoint on one bridge: the node's address is let in whatever the policy says.
        assertHeard("one", "two", 0, "two 10.244.2.1");
        // What the client's own policy forbids is silent to us: after a second, the next in turn.
        assertThat(heard("one", "tcp", ips("both").get(0)))
                .contains("pod 10.244.2.11")
                .doesNotContain("far 10.244.2.11");
        removeRules();
        // Until it is tried again.
        await().atMost(RunIT.PATIENCE)
                .untilAsserted(() -> assertHeard("one", "both", 0, "pod 10.244.2.11", "far 10.244.2.11"));
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
    void calicoWithoutPolicies() throws IOException {
        calico(ALL, "return", "accept");
        assertProxied();
    }

    @Test
    void calicoDropsWhatPodsSendTheNodeUnlessToldOtherwise() throws IOException {
        calico(ALL, "return", "drop");
        assertUnheard("pod", "two");
        assertHeard("one", "pod", 0, "pod 10.244.2.11");
    }

    @Test
    void calicoJudgesTheFirstLegByTheServicesAddress() throws IOException {
        calico("ip daddr 10.244.2.12 " + ALL, "return", "accept");
        assertThat(direct("pod", "10.244.2.12")).isEqualTo("two 10.244.1.10");
        assertUnheard("pod", "two");
        removeRules();
        calico("ip daddr 10.96.0.13 " + ALL, "return", "accept");
        assertThat(direct("pod", "10.244.2.12")).isEqualTo("DROP");
        assertHeard("pod", "two", 0, "two 10.244.1.10");
    }

    @Test
    void calicoDoesNotJudgeTheSecondLegOnTheEndpointsNode() throws IOException {
        calico(ALL, "ip saddr 10.244.9.20 return", "accept");
        assertThat(direct("one", "10.244.1.10")).isEqualTo("DROP");
        assertHeard("one", "pod", 0, "pod 10.244.2.11");
    }

    /** Where policies are enforced on the pod's device, as eBPF does; the node is always let in. */
    @Test
    void onTheDeviceTheFirstLegIsJudgedByTheServicesAddressAndTheSecondByTheClients() throws IOException {
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
        assertHeard("one", "pod", 0, "pod 10.244.2.11");
        assertHeard("node", "pod", 0, "pod 169.254.1.1");
        assertUnheard("far", "pod");
        assertThat(direct("pod", "10.244.2.12")).isEqualTo("two 10.244.1.10");
        assertUnheard("pod", "two");
        removeRules();
        standIn(device.formatted("10.96.0.13"));
        assertHeard("pod", "two", 0, "two 10.244.1.10");
    }

    private static final String PROBED = "as a connection of this node's to 198.18.0.254 shows: ";

    /** Starts another one, that tries the way here, and returns what it says of it. */
    private static String startupWarning(String rules) throws Exception {
        sluice.signal("TERM");
        assertThat(sluice.err()).doesNotContain(PROBED);
        assertThat(sluice.exitCode()).isZero();
        standIn(rules);
        sluice = start();
        await().atMost(RunIT.PATIENCE).until(() -> sluice.err().contains(PROBED));
        await().atMost(RunIT.PATIENCE)
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
    void theStartSaysThatAnInputChainDrops() throws Exception {
        assertThat(startupWarning("""
                table inet standin {
                  chain input {
                    type filter hook input priority filter; policy drop;
                    tcp dport 22 accept
                  }
                }
                """))
                .contains(
                        "an input chain (inet standin input, whose policy is drop) dropped it: let packets with mark 0x1000/0x1000 pass");
    }

    @Test
    void theStartSaysThatTheMarkIsTakenAway() throws Exception {
        assertThat(startupWarning("""
                table inet standin {
                  chain tidy { type filter hook prerouting priority filter; meta mark set 0; }
                }
                """))
                .contains("a prerouting chain (inet standin tidy) dropped it, or took bit 12 from its mark");
    }

    @Test
    void theStartSaysThatAnotherRoutingRuleComesFirst() throws Exception {
        NodeLab.in("node", "ip rule add priority 50 to 198.18.0.0/15 lookup main");
        try {
            assertThat(startupWarning(""))
                    .contains(
                            "the routing rule of priority 119 is not followed (198.18.0.254 via 198.51.100.7 dev v-out",
                            "see 'ip -4 rule'");
        } finally {
            NodeLab.in("node", "ip rule del priority 50");
        }
    }
}
