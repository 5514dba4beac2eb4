package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.TreeSet;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Kubernetes' end-to-end cases for creating, changing and deleting Services, and for the traffic to their endpoints, on
 * a {@link Cluster}. Each test lists the titles of its cases.
 */
@Tag("netns")
@Timeout(120)
@NeedsRoot
@Tag("one-jdk")
final class ClusterIT {
    @TempDir
    private static Path directory;

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static Cluster cluster;

    @BeforeAll
    static void build() throws IOException {
        cluster = new Cluster(directory);
    }

    @AfterAll
    static void remove() throws IOException {
        if (cluster != null) {
            cluster.close();
        }
    }

    /** "should serve a basic endpoint from pods"; "update endpoints: http, udp". */
    @Test
    void servesAddedAndRemovedEndpoints() throws IOException {
        cluster.apply(cluster.service("web"));
        cluster.expect("one web:80 REFUSED", "one2 web:80 REFUSED");
        cluster.apply(cluster.service("web").endpoints("pod"));
        cluster.expect("one web:80 pod=one", "one2 web:80 pod=one2", "node web:80 pod=node", "node2 web:80 pod=node2");
        cluster.apply(cluster.service("web").endpoints("pod", "two2"));
        cluster.expect(
                "one web:80 pod=one two2=one", "pod2 web:80 pod=pod2 two2=pod2", "node2 web:80 pod=node2 two2=node2");
        cluster.apply(cluster.service("web").endpoints("two2"));
        cluster.expect("one web:80 two2=one", "pod2 web:80 two2=pod2", "node web:80 two2=node");
        cluster.apply(cluster.service("web"));
        cluster.expect("one web:80 REFUSED", "node2 web:80 REFUSED");
    }

    /**
     * "should serve multiport endpoints from pods"; "should be updated after adding or deleting ports"; "should support
     * a Service with multiple ports specified in multiple EndpointSlices"; "… with multiple endpoint IPs specified in
     * multiple EndpointSlices".
     */
    @Test
    void servesEachPortFromItsOwnSlices() throws IOException {
        cluster.apply(cluster.service("web").endpoints("pod"));
        cluster.expect("one web:80 pod=one", "one web:81 REFUSED");
        cluster.apply(cluster.service("web")
                .nodePort(0)
                .port("TCP", 81, 0)
                .port("UDP", 81, 0)
                .endpoints("pod")
                .slice(81, 8080, "two2")
                .slice(81, 8081, "node2"));
        cluster.expect(
                "one web:80 pod=one",
                "one web:81 two2=one node2=one",
                "pod2 web:80 pod=pod2",
                "pod2 web:81 two2=pod2 node2=node2");
        cluster.apply(cluster.service("web").endpoints("pod").slice(81, 8080, "two2"));
        cluster.expect("one web:80 pod=one", "one web:81 REFUSED", "node2 web:81 REFUSED");
    }

    /**
     * "should serve endpoints on same port and different protocols"; "should be able to update service type to NodePort
     * listening on same port number but different protocols".
     */
    @Test
    void addsAndRemovesProtocolsOfOnePortIndependently() throws IOException {
        cluster.apply(cluster.service("web").type("ClusterIP").endpoints("pod", "two2"));
        cluster.expect("one web:80 pod=one two2=one", "out node:30080 REFUSED");
        for (String protocol : List.of("TCP", "UDP")) {
            cluster.apply(cluster.service("web").port(protocol, 80, 30080).endpoints("pod", "two2"));
            String served = protocol.equals("TCP") ? "tcp" : "udp";
            String other = protocol.equals("TCP") ? "udp" : "tcp";
            for (String family : List.of(" 4 ", " 6 ")) {
                cluster.expectOne(served + family + "one2 web:80 pod=one2 two2=node2");
                cluster.expectOne(other + family + "one2 web:80 REFUSED");
                cluster.expectOne(served + family + "out node2:30080 pod=node2 two2=node2");
                cluster.expectOne(other + family + "out node2:30080 REFUSED");
            }
        }
        cluster.apply(cluster.service("web").nodePort(30080).endpoints("pod", "two2"));
        cluster.expect("one2 web:80 pod=one2 two2=node2", "out node2:30080 pod=node2 two2=node2");
    }

    /**
     * "should preserve source pod IP for traffic thru service cluster IP"; "should allow pods to hairpin back to
     * themselves through services"; "pod-Service", "node-Service" and "endpoint-Service" of both families; "service
     * endpoints using hostNetwork"; "should be able to create a functioning NodePort service".
     */
    @Test
    void preservesTheClientAddressWhereRepliesPassTheNode() throws IOException {
        cluster.apply(
                cluster.service("web").nodePort(30080).endpoints("pod", "two2"),
                cluster.service("routed").endpoints("pod2"),
                cluster.service("bridged").endpoints("one"),
                cluster.service("bridged2").endpoints("one2"),
                cluster.service("hosted").slice(80, 8081, "node", "node2"));
        cluster.expect(
                "one  web:80     pod=one two2=one",
                "pod  web:80     pod=node two2=pod",
                "pod2 web:80     pod=pod2 two2=pod2",
                "two2 web:80     pod=two2 two2=node2",
                "node web:80     pod=node two2=node",
                "out  web:80     pod=node two2=node",
                // the pod itself: routed and on a bridge
                "pod2 routed:80  pod2=node2",
                "one  bridged:80 one=node",
                "one2 bridged2:80 one2=node2",
                // another pod on the bridge, and pods of the other node
                "two  bridged:80 one=node",
                "two2 bridged2:80 one2=node2",
                "two  bridged2:80 one2=two",
                "two2 bridged:80 one=two2",
                // endpoints on the host network of this node and of the other node
                "one  hosted:80  node=node node2=one",
                "pod2 hosted:80  node=pod2 node2=node2",
                "node hosted:80  node=node node2=node",
                "node2 hosted:80 node=node2 node2=node2",
                // NodePorts of both nodes
                "one  node:30080  pod=node two2=node",
                "one  node2:30080 pod=node2 two2=node2",
                "node node2:30080 pod=node2 two2=node2",
                "node2 node2:30080 pod=node2 two2=node2",
                "out  node:30080  pod=node two2=node",
                "out  node2:30080 pod=node2 two2=node2");
    }

    /**
     * "should have session affinity work for service with type clusterIP" and "… for NodePort service"; "should be able
     * to switch session affinity" of both; "client IP session affinity: http, udp" of both families.
     */
    @Test
    void enablesAndDisablesSessionAffinity() throws IOException {
        String[] endpoints = {"pod", "two2", "pod2"};
        ServiceManifest withAffinity = cluster.service("sticky")
                .nodePort(30081)
                .spec("sessionAffinity: ClientIP")
                .endpoints(endpoints);
        cluster.apply(withAffinity);
        expectAffinity();
        cluster.apply(cluster.service("sticky").nodePort(30081).endpoints(endpoints));
        cluster.expect(
                "one   sticky:80   pod=one two2=one pod2=one",
                "node2 sticky:80   pod=node2 two2=node2 pod2=node2",
                "out   node:30081  pod=node two2=node pod2=node",
                "out   node2:30081 pod=node2 two2=node2 pod2=node2");
        cluster.apply(withAffinity);
        expectAffinity();
    }

    private static void expectAffinity() {
        for (String line :
                NodeCases.eachWay(List.of("one sticky:80", "node2 sticky:80", "out node:30081", "out node2:30081"))) {
            Cluster.eventually()
                    .untilAsserted(
                            () -> assertThat(new TreeSet<>(cluster.cases().responses(line, 10, 15)))
                                    .as(line)
                                    .hasSize(1)
                                    .doesNotContain("DROP", "REFUSED"));
        }
    }

    /**
     * "should implement service.kubernetes.io/service-proxy-name"; "should implement service.kubernetes.io/headless".
     */
    @Test
    void ignoresServicesWithAProxyNameOrHeadlessLabel() throws IOException {
        for (String label :
                List.of("service.kubernetes.io/service-proxy-name: foo-bar", "service.kubernetes.io/headless: ''")) {
            ServiceManifest hidden =
                    cluster.service("hidden").nodePort(30085).label(label).endpoints("pod");
            cluster.apply(
                    hidden, cluster.service("web").nodePort(30084).label(label).endpoints("two2"));
            cluster.expect("one hidden:80 DROP", "node2 web:80 DROP", "out node:30084 REFUSED");
            cluster.apply(hidden, cluster.service("web").nodePort(30084).endpoints("two2"));
            cluster.expect(
                    "one hidden:80 DROP", "node2 web:80 two2=node2", "one web:80 two2=one", "out node:30084 two2=node");
        }
    }

    /**
     * "should be able to preserve UDP traffic when server pod cycles for a NodePort service", "… for a ClusterIP
     * service", "… and client is hostNetwork": the client keeps its port.
     */
    @Test
    void movesAFlowWhenItsPodIsReplaced() throws IOException {
        String[] clients = {"one flow:80", "one2 flow:80", "node flow:80", "out node:30086", "out node2:30086"};
        cluster.apply(cluster.service("flow").nodePort(30086).endpoints("two"));
        expectFlows(clients, "two");
        cluster.apply(cluster.service("flow").nodePort(30086).endpoints("two", "two2"));
        expectFlows(clients, "two");
        cluster.apply(cluster.service("flow").nodePort(30086).endpoints("two2"));
        expectFlows(clients, "two2");
    }

    private static void expectFlows(String[] clients, String endpoint) {
        for (String client : clients) {
            for (String way : List.of("again 4 ", "again 6 ")) {
                Cluster.eventually()
                        .untilAsserted(() -> assertThat(cluster.cases().responses(way + client))
                                .as(way + client)
                                .startsWith(endpoint + "="));
            }
        }
    }

    /** "… for a ClusterIP service with InternalTrafficPolicy set to Local": endpoints on other nodes are not used. */
    @Test
    void dropsAFlowOfALocalPolicyUntilALocalPodExists() throws IOException {
        String[] clients = {"one waiting:80", "node waiting:80"};
        ServiceManifest both =
                cluster.service("waiting").spec("internalTrafficPolicy: Local").endpoints("pod", "pod2");
        cluster.apply(both);
        expectFlows(clients, "pod");
        cluster.apply(
                cluster.service("waiting").spec("internalTrafficPolicy: Local").endpoints("pod2"));
        for (String client : clients) {
            cluster.expectOne("again 4 " + client + " DROP");
        }
        cluster.apply(
                cluster.service("waiting").spec("internalTrafficPolicy: Local").endpoints("pod2", "two"));
        expectFlows(clients, "two");
    }

    /** "should be able to preserve UDP traffic when initial unready endpoints get ready". */
    @Test
    void forwardsARejectedFlowOnceAnEndpointIsReady() throws IOException {
        String[] clients = {"one near:80", "node2 near:80", "out node2:30087"};
        cluster.apply(cluster.service("near").nodePort(30087).endpoints("pod unready"));
        for (String client : clients) {
            cluster.expectOne("again 4 " + client + " REFUSED");
            cluster.expectOne("again 6 " + client + " REFUSED");
        }
        cluster.apply(cluster.service("near").nodePort(30087).endpoints("pod"));
        expectFlows(clients, "pod");
    }

    /**
     * "should be able to change the type from ExternalName to NodePort" and back, although the object keeps its other
     * fields; "should release NodePorts on delete"; "update nodePort: http, udp"; "should be able to up and down
     * services"; "should work after the service has been recreated".
     */
    @Test
    void closesANodePortWithItsTypeOrService() throws IOException {
        ServiceManifest stays = cluster.service("routed").endpoints("pod2");
        ServiceManifest open = cluster.service("web").nodePort(30088).endpoints("pod");
        for (ServiceManifest closed : List.of(
                cluster.service("web").type("ExternalName").nodePort(30088).endpoints("pod"),
                cluster.service("near"))) {
            cluster.apply(stays, open);
            cluster.expect(
                    "one web:80 pod=one",
                    "out node:30088 pod=node",
                    "one node2:30088 pod=node2",
                    "node node:30088 pod=node");
            cluster.apply(stays, closed);
            cluster.expect(
                    "one web:80 DROP",
                    "node2 web:80 DROP",
                    "out node:30088 REFUSED",
                    "one node2:30088 REFUSED",
                    "node node:30088 REFUSED",
                    "two routed:80 pod2=two");
        }
    }

    /** "large requests: http, udp" of both families. */
    @Test
    void forwardsLargeRequests() throws IOException {
        cluster.apply(
                cluster.service("web").nodePort(30080).endpoints("pod", "two2"),
                cluster.service("large").slice(80, 8082, "pod", "two2"));
        for (int family = 0; family < 2; family++) {
            for (String client : List.of("one", "two2", "node", "out")) {
                for (int i = 0; i < 2; i++) {
                    assertThat(cluster.lab()
                                    .tell(
                                            client,
                                            "fetch "
                                                    + cluster.cases()
                                                            .addresses("large")
                                                            .get(family) + " 80 2000"))
                            .as(client)
                            .isEqualTo("2000");
                }
            }
        }
        for (String way : List.of("udp 4 ", "udp 6 ")) {
            cluster.cases().check(way + "one web:80 pod=one two2=one", 2000);
            cluster.cases().check(way + "two2 web:80 pod=two2 two2=node2", 2000);
            cluster.cases().check(way + "node2 web:80 pod=node2 two2=node2", 2000);
            cluster.cases().check(way + "out node2:30080 pod=node2 two2=node2", 2000);
        }
    }

    /**
     * "should work after restarting kube-proxy"; "should recreate its iptables rules if they are deleted": one case per
     * node.
     */
    @Test
    void recoversFromARestartAndFromRemovedRules() throws Exception {
        cluster.apply(
                cluster.service("web").nodePort(30080).endpoints("pod", "two2"),
                cluster.service("routed").endpoints("pod2"));
        cluster.stop("node");
        cluster.expect("one web:80 DROP", "one2 web:80 pod=one2 two2=node2", "node2 routed:80 pod2=node2");
        NodeLab.in("node2", "nft delete table inet sluice");
        cluster.start("node");
        cluster.expect(
                "one web:80      pod=one two2=one",
                "node routed:80  pod2=node",
                "out node:30080  pod=node two2=node",
                "one2 web:80     pod=one2 two2=node2",
                "node2 routed:80 pod2=node2",
                "out node2:30080 pod=node2 two2=node2");
    }
}
