package io.sluice.socketlb;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Cidr;
import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.Frontend.Kind;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.Route.Source;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.SessionAffinity;
import io.sluice.model.TrafficPolicy;
import io.sluice.rules.PolicyKey;
import io.sluice.rules.PolicyValues;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Which connections are decided at the socket. */
final class EligibilityTest {
    /** A value other than the default for each key. A new key must be added here. */
    private static final Map<String, String> VALUES = new TreeMap<>(Map.ofEntries(
            Map.entry("balance", "maglev"),
            Map.entry("slow-start", "1s"),
            Map.entry("prefer", "node"),
            Map.entry("eject-after", "off"),
            Map.entry("eject-for", "2s"),
            Map.entry("health-check", "tcp"),
            Map.entry("health-check-interval", "3s"),
            Map.entry("max-connections", "5"),
            Map.entry("max-connections-per-client", "6"),
            Map.entry("max-connections-per-endpoint", "7"),
            Map.entry("connection-rate-per-client", "8/m"),
            Map.entry("connect-timeout", "9s"),
            Map.entry("connect-deadline", "10s"),
            Map.entry("idle-timeout", "11s"),
            Map.entry("half-closed-timeout", "12s"),
            Map.entry("udp-timeout", "13s"),
            Map.entry("udp-unreplied-timeout", "14s"),
            Map.entry("proxy-protocol", "v2"),
            Map.entry("accept-proxy-protocol-from", "10.0.0.0/8"),
            Map.entry("source-ranges", "10.0.0.0/8"),
            Map.entry("on-endpoint-removed", "drain 15s"),
            Map.entry("hold", "16s"),
            Map.entry("hold-limit", "17"),
            Map.entry("max-connection-age", "18s"),
            Map.entry("socket-lb", "off")));

    /** The keys with which the paths do not differ. */
    private static final Set<String> ON_BOTH_PATHS = Set.of(
            "eject-after",
            "eject-for",
            "health-check",
            "health-check-interval",
            "udp-timeout",
            "udp-unreplied-timeout");

    private static final ServicePortName NAME = new ServicePortName("shop", "web", "", Protocol.TCP);
    private static final Route FORWARD = forward("10.1.0.1:8080", "10.1.0.2:8080");

    private static Route forward(String... endpoints) {
        return Route.forward(
                Arrays.stream(endpoints)
                        .map(text -> Objects.requireNonNull(Endpoint.parse(text)))
                        .toList(),
                Source.CLIENT);
    }

    private static FrontendAddress address(String text) {
        return new FrontendAddress(Protocol.TCP, Objects.requireNonNull(IpAddress.parse(text)), 80);
    }

    private static Frontend frontend(Route pod, Route node) {
        return new Frontend(Kind.CLUSTER_IP, address("10.96.0.1"), pod, node, Route.DROP, List.of());
    }

    private static ServicePort port(TrafficPolicy policy, Frontend frontend) {
        return new ServicePort(NAME, SessionAffinity.NONE, policy, Set.of(), Set.of(), List.of(frontend));
    }

    private static String obstacle(Frontend frontend) {
        return Eligibility.obstacle(port(TrafficPolicy.DEFAULT, frontend), frontend, false);
    }

    @Test
    void clusterIpWithTheDefaultPolicyIsEligible() {
        Frontend frontend = frontend(FORWARD, FORWARD);
        assertThat(obstacle(frontend)).isEmpty();
        ServicePort sticky = new ServicePort(NAME, new SessionAffinity(60), Set.of(), List.of(frontend));
        assertThat(Eligibility.obstacle(sticky, frontend, false)).isEmpty();
    }

    @Test
    void addressesOfBothFamiliesAreEligible() {
        Route six = forward("[2001:db8::1]:8080");
        Frontend frontend = new Frontend(Kind.CLUSTER_IP, address("fd00::1"), six, six, six, List.of());
        assertThat(obstacle(frontend)).isEmpty();
    }

    @Test
    void anEndpointThatIsAlsoAFrontendNeedsTheForwarder() {
        Frontend clusterIp = frontend(FORWARD, FORWARD);
        Frontend external = new Frontend(
                Kind.EXTERNAL_IP,
                new FrontendAddress(Protocol.TCP, address("10.1.0.2").address(), 8080),
                FORWARD,
                FORWARD,
                FORWARD,
                List.of());
        ServicePort port = new ServicePort(NAME, SessionAffinity.NONE, Set.of(), List.of(clusterIp, external));
        assertThat(Eligibility.obstacle(port, clusterIp, false)).isEqualTo("endpoint is also a frontend");
    }

    /** A key that is added later is not eligible until it is removed from the comparison and added to the set here. */
    @Test
    void everyPolicyKeyButThoseOfBothPathsNeedsTheForwarder() {
        assertThat(PolicyKey.values().stream().map(PolicyKey::name))
                .as("keys with a value in this test")
                .containsExactlyInAnyOrderElementsOf(VALUES.keySet());
        Frontend frontend = frontend(FORWARD, FORWARD);
        VALUES.forEach((key, value) -> {
            TrafficPolicy policy = PolicyValues.ofTexts(
                            // The interval is part of a policy only with health checks.
                            key.equals("health-check-interval")
                                    ? Map.of(key, value, "health-check", "tcp")
                                    : Map.of(key, value))
                    .policy();
            assertThat(policy).as(key).isNotEqualTo(TrafficPolicy.DEFAULT);
            String expected =
                    ON_BOTH_PATHS.contains(key) ? "" : key.equals("socket-lb") ? "socket-lb: off" : "policy " + key;
            assertThat(Eligibility.obstacle(port(policy, frontend), frontend, false))
                    .as(key)
                    .isEqualTo(expected);
        });
    }

    @Test
    void udpNeedsTheForwarder() {
        FrontendAddress address =
                new FrontendAddress(Protocol.UDP, address("10.96.0.1").address(), 53);
        Frontend frontend = Frontend.of(address, FORWARD);
        ServicePort port = new ServicePort(
                new ServicePortName("shop", "dns", "", Protocol.UDP),
                SessionAffinity.NONE,
                Set.of(),
                List.of(frontend));
        assertThat(Eligibility.obstacle(port, frontend, false)).isEqualTo("UDP");
    }

    @ParameterizedTest
    @CsvSource({"NODE_PORT, NodePort", "EXTERNAL_IP, external IP", "LOAD_BALANCER, LoadBalancer IP"})
    void onlyClusterIpsAreEligible(Kind kind, String obstacle) {
        Frontend frontend = new Frontend(kind, address("192.0.2.1"), FORWARD, FORWARD, FORWARD, List.of());
        assertThat(obstacle(frontend)).isEqualTo(obstacle);
    }

    @Test
    void masqueradeAllAndSourceRangesNeedTheForwarder() {
        Frontend frontend = frontend(FORWARD, FORWARD);
        assertThat(Eligibility.obstacle(port(TrafficPolicy.DEFAULT, frontend), frontend, true))
                .isEqualTo("masquerade-all");
        Cidr range = Objects.requireNonNull(Cidr.parse("10.0.0.0/8"));
        assertThat(obstacle(
                        new Frontend(Kind.CLUSTER_IP, address("10.96.0.1"), FORWARD, FORWARD, FORWARD, List.of(range))))
                .isEqualTo("source ranges");
    }

    @Test
    void bothOriginsOnTheNodeMustBeForwardedToTheSameEndpoints() {
        Stream.of(Route.REJECT, Route.HOLD).forEach(route -> {
            assertThat(obstacle(frontend(route, FORWARD))).isEqualTo("no endpoints");
            assertThat(obstacle(frontend(FORWARD, route))).isEqualTo("no endpoints");
        });
        Stream.of(Route.DROP, Route.PASS).forEach(route -> {
            assertThat(obstacle(frontend(route, FORWARD))).isEqualTo("not forwarded");
            assertThat(obstacle(frontend(FORWARD, route))).isEqualTo("not forwarded");
        });
        assertThat(obstacle(frontend(FORWARD, forward("10.1.0.1:8080"))))
                .isEqualTo("pods and node have different endpoints");
        // Round robin has one order.
        assertThat(obstacle(frontend(FORWARD, forward("10.1.0.2:8080", "10.1.0.1:8080"))))
                .isEqualTo("pods and node have different endpoints");
    }

    /** The forwarder masquerades connections of the node. A connection of the node itself has its address anyway. */
    @Test
    void sourceNatOfTheNodeIsNoObstacleButThatOfPodsIs() {
        Route masqueraded = Route.forward(FORWARD.endpoints(), Source.NODE);
        assertThat(obstacle(frontend(FORWARD, masqueraded))).isEmpty();
        assertThat(obstacle(frontend(masqueraded, masqueraded))).isEqualTo("endpoint of another Service");
    }

    @ParameterizedTest
    @CsvSource({
        "10.1.0.1, ''",
        "169.253.255.255, ''",
        "169.254.0.1, link-local",
        "169.255.0.1, ''",
        "127.0.0.1, loopback",
        "127.255.0.1, loopback",
        "0.0.0.0, unspecified",
        "223.255.255.255, ''",
        "224.0.0.1, multicast",
        "239.255.255.255, multicast",
        "255.255.255.255, broadcast",
        "2001:db8::1, ''",
        "::1, loopback",
        "::, unspecified",
        "fe7f::1, ''",
        "fe80::1, link-local",
        "febf::1, link-local",
        "fec0::1, ''",
        "ff02::1, multicast",
        "::ffff:127.0.0.1, loopback",
        "::ffff:10.1.0.1, ''"
    })
    void specialAddressesNeedTheForwarder(String text, String special) {
        IpAddress address = address(text).address();
        Route other = forward(address.toString().contains(":") ? "[2001:db8::2]:8080" : "10.1.0.2:8080");
        Frontend at = new Frontend(
                Kind.CLUSTER_IP, new FrontendAddress(Protocol.TCP, address, 80), other, other, other, List.of());
        assertThat(obstacle(at)).isEqualTo(special.isEmpty() ? "" : special + " address");

        Endpoint first = other.endpoints().get(0);
        Route with = Route.forward(List.of(first, new Endpoint(address, 8080)), Source.CLIENT);
        Frontend to = new Frontend(
                Kind.CLUSTER_IP, new FrontendAddress(Protocol.TCP, first.address(), 80), with, with, with, List.of());
        assertThat(obstacle(to)).isEqualTo(special.isEmpty() ? "" : special + " endpoint");
    }

    @Test
    void endpointsOfTheOtherFamilyNeedTheForwarder() {
        Route six = forward("[2001:db8::1]:8080");
        assertThat(obstacle(frontend(six, six))).isEqualTo("IPv6 endpoint");
    }

    @Test
    void pathIsProxyIfSocketLbIsOff() {
        Frontend frontend = frontend(FORWARD, FORWARD);
        ServicePort port = port(TrafficPolicy.DEFAULT, frontend);
        SocketLbOptions on = new SocketLbOptions(SocketLbOptions.Mode.AUTO, null, SocketLbOptions.DEFAULT_PINS);
        assertThat(SocketPath.of(SocketLbOptions.OFF, port, frontend, false)).isEqualTo(SocketPath.OFF);
        assertThat(SocketPath.of(on, port, frontend, false)).isEqualTo(new SocketPath(true, ""));
        assertThat(SocketPath.of(on, port, frontend, true)).isEqualTo(new SocketPath(false, "masquerade-all"));
        assertThat(SocketPath.OFF.text()).isEqualTo("proxy");
        assertThat(SocketPath.of(on, port, frontend, true).text()).isEqualTo("proxy (masquerade-all)");
        assertThat(SocketPath.of(on, port, frontend, false).text()).isEqualTo("socket");
    }
}
