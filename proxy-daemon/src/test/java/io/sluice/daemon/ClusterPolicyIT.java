package io.sluice.daemon;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Kubernetes' end-to-end cases for the choice of endpoints by readiness, topology and traffic policies, on a
 * {@link Cluster}. Each test lists the titles of its cases.
 */
@Tag("netns")
@Timeout(120)
@NeedsRoot
@Tag("one-jdk")
final class ClusterPolicyIT {
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

    /**
     * "should fallback to terminating endpoints when there are no ready endpoints with internalTrafficPolicy=Cluster",
     * "… to local terminating endpoints … with internalTrafficPolicy=Local", and both with externalTrafficPolicy.
     */
    @Test
    void fallsBackToTerminatingEndpointsWhenNoneIsReady() throws IOException {
        cluster.apply(cluster.service("going").nodePort(30082).endpoints("pod terminating", "two2"));
        cluster.expect("one going:80 two2=one", "node2 going:80 two2=node2", "out node:30082 two2=node");
        cluster.apply(cluster.service("going").nodePort(30082).endpoints("pod terminating"));
        cluster.expect(
                "one going:80    pod=one",
                "one2 going:80   pod=one2",
                "out node:30082  pod=node",
                "out node2:30082 pod=node2",
                "one node2:30082 pod=node2");
        cluster.apply(cluster.service("going")
                .nodePort(30082)
                .spec("internalTrafficPolicy: Local, externalTrafficPolicy: Local")
                .endpoints("pod terminating"));
        cluster.expect(
                "one going:80    pod=one",
                "node going:80   pod=node",
                "one2 going:80   DROP",
                "node2 going:80  DROP",
                "out node:30082  pod=out",
                "out node2:30082 DROP",
                // With NodeCIDR detection, a node treats pods of other nodes as external clients.
                "one node2:30082 DROP",
                "one2 node:30082 pod=one2");
    }

    /** "should fail health check node port if there are only terminating endpoints". */
    @Test
    void failsHealthChecksWithOnlyTerminatingEndpoints() throws IOException {
        cluster.apply(local().endpoints("pod"));
        cluster.expectOne("health 4 out node:31083 200");
        cluster.expectOne("health 6 out node2:31083 503");
        cluster.apply(local().endpoints("pod terminating"));
        cluster.expectOne("health 4 out node:31083 503");
        cluster.expectOne("health 6 out node:31083 503");
        cluster.expect("out node:30083 pod=out");
    }

    private static ServiceManifest local() {
        return external("Local");
    }

    private static ServiceManifest external(String policy) {
        return cluster.service("local")
                .type("LoadBalancer")
                .nodePort(30083)
                .spec("externalTrafficPolicy: " + policy + ", healthCheckNodePort: 31083");
    }

    /**
     * "should create endpoints for unready pods"; "should be able to connect to terminating and unready endpoints if
     * PublishNotReadyAddresses is true", "should not be able … if PublishNotReadyAddresses is false".
     */
    @Test
    void forwardsToUnreadyEndpointsOnlyIfPublished() throws IOException {
        String[] to = {"one going:80", "one2 going:80", "out node:30082", "out node2:30082"};
        cluster.apply(cluster.service("going").nodePort(30082).endpoints("pod unready"));
        cluster.expect(each(to, " REFUSED"));
        for (int i = 0; i < 2; i++) {
            cluster.apply(cluster.service("going").nodePort(30082).endpoints("pod published"));
            cluster.expect(
                    "one going:80 pod=one",
                    "one2 going:80 pod=one2",
                    "out node:30082 pod=node",
                    "out node2:30082 pod=node2");
            cluster.apply(cluster.service("going").nodePort(30082).endpoints("pod ending"));
            cluster.expect(each(to, " REFUSED"));
        }
    }

    private static String[] each(String[] lines, String result) {
        return Arrays.stream(lines).map(line -> line + result).toArray(String[]::new);
    }

    /**
     * "should respect internalTrafficPolicy=Local Pod to Pod", "… Pod (hostNetwork: true) to Pod", "… and Node, to Pod
     * (hostNetwork: true)".
     */
    @Test
    void keepsLocalInternalTrafficOnTheNode() throws IOException {
        cluster.apply(
                cluster.service("routed").spec("internalTrafficPolicy: Local").endpoints("pod"),
                cluster.service("bridged2").spec("internalTrafficPolicy: Local").endpoints("one2"),
                cluster.service("hosted").spec("internalTrafficPolicy: Local").slice(80, 8081, "node"));
        cluster.expect(
                "one routed:80     pod=one",
                "node routed:80    pod=node",
                "one2 routed:80    DROP",
                "node2 routed:80   DROP",
                "pod2 bridged2:80  one2=pod2",
                "node2 bridged2:80 one2=node2",
                "pod bridged2:80   DROP",
                "two hosted:80     node=node",
                "node hosted:80    node=node",
                "two2 hosted:80    DROP",
                "node2 hosted:80   DROP");
    }

    /** "should be rejected when no endpoints exist"; "should be rejected for evicted pods (no endpoints exist)". */
    @Test
    void rejectsAllClientsWithoutEndpoints() throws IOException {
        cluster.apply(local());
        cluster.expect(
                "one local:80     REFUSED",
                "pod2 local:80    REFUSED",
                "node local:80    REFUSED",
                "out local-lb:80  REFUSED",
                "one2 local-lb:80 REFUSED",
                "out node:30083   REFUSED",
                "out node2:30083  REFUSED",
                "one node2:30083  REFUSED",
                "node2 node2:30083 REFUSED");
    }

    /**
     * "should route traffic to an endpoint on the same node when using PreferSameNode and fall back when the endpoint
     * becomes unavailable"; "should route traffic to an endpoint in the same zone when using PreferSameZone", each node
     * being a zone.
     */
    @Test
    void prefersNearEndpointsAndFallsBack() throws IOException {
        for (String distribution : List.of(" PreferSameNode", " PreferSameZone")) {
            String[] both = {"pod" + distribution, "two2" + distribution};
            cluster.apply(cluster.service("near").endpoints(both));
            expectNear("pod", "two2");
            cluster.apply(cluster.service("near").endpoints(both[0], "two2 unready"));
            expectNear("pod", "pod");
            cluster.apply(cluster.service("near").endpoints(both));
            expectNear("pod", "two2");
            cluster.apply(cluster.service("near").endpoints(both[1]));
            expectNear("two2", "two2");
        }
    }

    private static void expectNear(String first, String second) {
        cluster.expect(
                "one near:80   " + first + "=one",
                "node near:80  " + first + "=node",
                "pod2 near:80  " + second + "=pod2",
                "node2 near:80 " + second + "=node2");
    }

    /**
     * "ESIPP should work for type=LoadBalancer" and "… type=NodePort"; "ESIPP should only target nodes with endpoints";
     * "ESIPP should work from pods"; "ESIPP should handle updates to ExternalTrafficPolicy".
     */
    @Test
    void switchesTheExternalTrafficPolicy() throws IOException {
        for (int i = 0; i < 2; i++) {
            cluster.apply(local().endpoints("pod"));
            cluster.expect(
                    "out local-lb:80  pod=out",
                    "out node:30083   pod=out",
                    "out node2:30083  DROP",
                    "one local-lb:80  pod=one",
                    "one2 local-lb:80 pod=one2",
                    "node2 local-lb:80 pod=node2");
            cluster.expectOne("health 4 out node:31083 200");
            cluster.expectOne("health 6 out node2:31083 503");
            cluster.apply(external("Cluster").endpoints("pod"));
            cluster.expect(
                    "out local-lb:80  pod=node",
                    "out node:30083   pod=node",
                    "out node2:30083  pod=node2",
                    "one2 local-lb:80 pod=node2");
            cluster.expectOne("health 4 out node:31083 REFUSED");
            cluster.expectOne("health 6 out node2:31083 REFUSED");
        }
    }
}
