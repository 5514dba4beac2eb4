package io.sluice.apiserver;

import static io.sluice.apiserver.RealControlPlane.ACCOUNT;
import static io.sluice.apiserver.RealControlPlane.ROLES;
import static io.sluice.apiserver.RealControlPlane.SERVICES;
import static io.sluice.apiserver.RealControlPlane.USER;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import io.sluice.apiserver.KubernetesReflector.EndpointsApi;
import io.sluice.apiserver.Pem.Identity;
import io.sluice.feed.SyncLoop;
import io.sluice.feed.WatchStatus;
import io.sluice.model.Cidr;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
import io.sluice.rules.BuildOptions;
import io.sluice.rules.Dump;
import io.sluice.rules.ObjectStore;
import io.sluice.rules.ObjectStore.SourceState;
import io.sluice.rules.ProblemTracker;
import io.sluice.rules.SnapshotBuilder;
import io.sluice.thread.Supervisor;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.slf4j.LoggerFactory;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;

/**
 * List, watch, credentials, permissions and Events against a real kube-apiserver and etcd. {@code -Pcluster} selects
 * these tests.
 */
@Tag("cluster")
@ExtendWith(RealControlPlane.Shared.class)
final class RealApiServerIT {
    private static final Duration SOON = Duration.ofSeconds(30);
    private static final String SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    private static final ServicePortName WEB = new ServicePortName("default", "web", "", Protocol.TCP);

    @SuppressWarnings("NullAway.Init") // set in @BeforeAll
    private static RealControlPlane plane;

    private final SyncLoop loop =
            new SyncLoop(BuildOptions.on("n1"), snapshot -> {}, (problem, appeared) -> {}, (nanos, triggers) -> {});

    @BeforeAll
    static void createWeb(RealControlPlane shared) {
        plane = shared;
        plane.create(SERVICES, service("web"));
        plane.create(SLICES, slice("web", "198.18.64.1"));
    }

    @BeforeEach
    void repair() {
        plane.repair();
    }

    @AfterAll
    static void deleteWeb() {
        plane.delete(SERVICES + "/web");
        plane.delete(SLICES + "/web-1");
    }

    @AfterEach
    void close() {
        loop.close();
    }

    private static String service(String name) {
        return """
                {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "%s"}, "spec": {
                 "ipFamilyPolicy": "PreferDualStack", "ports": [{"port": 80}]}}""".formatted(name);
    }

    private static String slice(String service, String... addresses) {
        StringBuilder endpoints = new StringBuilder();
        for (String address : addresses) {
            endpoints.append(endpoints.isEmpty() ? "" : ", ").append("{\"addresses\": [\"" + address + "\"]}");
        }
        return """
                {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "%s-1",
                 "labels": {"kubernetes.io/service-name": "%s"}}, "addressType": "IPv4", "endpoints": [%s],
                 "ports": [{"name": "", "port": 8080, "protocol": "TCP"}]}""".formatted(service, service, endpoints);
    }

    private KubernetesReflector follow(ApiAccess access, EndpointsApi endpointsApi) {
        KubernetesReflector reflector =
                KubernetesReflector.of(access, BuildOptions.on("n1"), endpointsApi, Duration.ZERO, loop);
        loop.start(new Supervisor());
        reflector.start(new Supervisor());
        return reflector;
    }

    private String served() {
        return Dump.of(loop.snapshot());
    }

    /** The snapshot of the objects that the server has now. */
    private static String listed(ApiAccess access) throws Exception {
        ProblemTracker problems = new ProblemTracker();
        ObjectStore store = new ObjectStore(problems);
        Map<String, SourceState> objects = KubernetesReflector.list(access, BuildOptions.on("n1"), EndpointsApi.AUTO);
        objects.forEach(store::replace);
        return Dump.of(new SnapshotBuilder(BuildOptions.on("n1"), store, problems).build());
    }

    private void awaitListed() {
        await().atMost(SOON)
                .ignoreExceptions()
                .untilAsserted(() -> assertThat(served()).isEqualTo(listed(plane.access(null, 0))));
    }

    /** Changes the endpoints of the Service web, and waits until they are served. */
    private void awaitNewEndpoint(String address) {
        plane.replace(SLICES + "/web-1", slice("web", address));
        await().atMost(SOON).until(() -> served().contains(address + ":8080"));
    }

    private static String base64(String text) {
        return Base64.getEncoder().encodeToString(text.getBytes(StandardCharsets.UTF_8));
    }

    /** Writes an exec plugin, which evaluates the token each time. */
    private static void plugin(String name, String token) throws IOException {
        Path plugin = plane.write(name, """
                #!/bin/sh
                echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",'
                echo '"status": {"token": "'"%s"'"}}'
                """.formatted(token));
        assertThat(plugin.toFile().setExecutable(true)).isTrue();
    }

    static Stream<String> users() throws IOException {
        Identity elliptic = plane.authority().client("EC", USER);
        Identity rsa = plane.authority().client("RSA", USER);
        plane.write("client.crt", rsa.certificate());
        plane.write("client.key", rsa.key());
        String token = plane.token(ACCOUNT, "");
        plane.write("sluice.token", token);
        plugin("plugin", token);
        return Stream.of(
                "client-certificate-data: %s, client-key-data: %s"
                        .formatted(base64(elliptic.certificate()), base64(elliptic.key())),
                "client-certificate: client.crt, client-key: client.key",
                "token: " + token,
                "tokenFile: sluice.token",
                "exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin, interactiveMode: Never}");
    }

    @ParameterizedTest
    @MethodSource("users")
    void authenticates(String user) throws Exception {
        assertThat(listed(plane.accessAs(user))).contains("default/web");
    }

    @Test
    void namesWhatAnUnknownUserMayNotRead() throws Exception {
        Identity stranger = plane.authority().client("EC", "stranger");
        ApiAccess access = plane.accessAs("client-certificate-data: %s, client-key-data: %s"
                .formatted(base64(stranger.certificate()), base64(stranger.key())));
        assertThatThrownBy(() -> listed(access)).hasMessageContaining("403").hasMessageContaining("\"stranger\"");
    }

    @Test
    void reportsAnInvalidToken() {
        assertThatThrownBy(() -> listed(plane.accessAs("token: made-up"))).hasMessageContaining("401");
    }

    @Test
    void reportsMissingCredentials() {
        assertThatThrownBy(() -> listed(plane.anonymous()))
                .hasMessageContaining("403")
                .hasMessageContaining("\"system:anonymous\"");
    }

    @Test
    void reportsAServerOfAnotherAuthority(@TempDir Path directory) throws Exception {
        Path authority = plane.write("other.crt", TestAuthority.in(directory).certificate());
        ApiAccess access = ApiAccess.find(
                new ApiOptions(List.of(), "", List.of(plane.url(0)), null, authority, false),
                Map.of(),
                directory,
                directory);
        assertThatThrownBy(() -> listed(access)).hasMessageContaining("TLS: ").hasMessageContaining("other.crt");
    }

    @Test
    void servesTheAddressesThatTheServerAllocated() {
        try (KubernetesReflector reflector = follow(admin(), EndpointsApi.AUTO)) {
            awaitListed();
            JsonNode addresses = plane.read(SERVICES + "/web").at("/spec/clusterIPs");
            assertThat(addresses.size()).isEqualTo(2);
            addresses.forEach(address -> assertThat(served()).contains(address.stringValue()));
            assertThat(reflector.watches()).allMatch(WatchStatus::synced).hasSize(4);
        }
    }

    @Test
    void followsServiceCidrs() throws Exception {
        String cidrs = "/apis/networking.k8s.io/v1/servicecidrs";
        String added = "198.18.128.0/24";
        try (KubernetesReflector reflector = follow(admin(), EndpointsApi.AUTO)) {
            awaitListed();
            assertThat(serviceCidrs()).containsExactlyInAnyOrder("198.19.0.0/16", "fd00:19::/112");
            plane.create(cidrs, """
                    {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "added"},
                     "spec": {"cidrs": ["%s"]}}""".formatted(added));
            await().atMost(SOON).until(() -> serviceCidrs().contains(added));
            plane.create(SERVICES, """
                    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "in-added"},
                     "spec": {"clusterIP": "198.18.128.10", "ports": [{"port": 80}]}}""");
            await().atMost(SOON).until(() -> served().contains("198.18.128.10:80"));
            plane.delete(SERVICES + "/in-added");
            plane.delete(cidrs + "/added");
            await().atMost(SOON).until(() -> !serviceCidrs().contains(added));
            assertThat(served()).doesNotContain("198.18.128.10:80");
            assertThat(reflector.watches()).allMatch(WatchStatus::synced);
        }
    }

    private List<String> serviceCidrs() {
        return loop.snapshot().context().serviceCidrs().stream()
                .map(Cidr::toString)
                .toList();
    }

    private static ApiAccess admin() {
        try {
            return plane.access(null, 0);
        } catch (IOException | ApiAccessException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Services and EndpointSlices change at random, far faster than each change is applied. */
    @Test
    void followsAStormOfChanges() {
        Random random = new Random(1);
        boolean[] exists = new boolean[40];
        try (KubernetesReflector reflector = follow(admin(), EndpointsApi.AUTO)) {
            awaitListed();
            for (int i = 0; i < 600; i++) {
                int number = random.nextInt(exists.length);
                String name = "storm-" + number;
                if (!exists[number]) {
                    plane.create(SERVICES, service(name));
                    plane.create(SLICES, slice(name, "198.18.65." + number));
                    exists[number] = true;
                } else if (random.nextInt(4) == 0) {
                    plane.delete(SERVICES + "/" + name);
                    plane.delete(SLICES + "/" + name + "-1");
                    exists[number] = false;
                } else {
                    plane.replace(SLICES + "/" + name + "-1", slice(name, "198.18.66." + i % 250, "198.18.67.1"));
                }
            }
            awaitListed();
            assertThat(reflector.watches()).allMatch(watch -> watch.relists() == 0 && watch.reconnects() == 0);
            for (int number = 0; number < exists.length; number++) {
                if (exists[number]) {
                    plane.delete(SERVICES + "/storm-" + number);
                    plane.delete(SLICES + "/storm-" + number + "-1");
                }
            }
            awaitListed();
        }
    }

    @Test
    void keepsTheStateWhileTheServerIsDown() {
        try (KubernetesReflector reflector = follow(admin(), EndpointsApi.AUTO)) {
            awaitListed();
            String before = served();
            plane.killServer(0);
            await().atMost(SOON)
                    .until(() -> reflector.watches().stream()
                            .noneMatch(watch -> watch.trouble().isEmpty()));
            assertThat(served()).isEqualTo(before);
            plane.startServer(0);
            awaitNewEndpoint("198.18.64.2");
            awaitListed();
            assertThat(reflector.watches()).allMatch(watch -> watch.trouble().isEmpty());
        }
    }

    @Test
    void keepsTheStateWhileEtcdIsDown() {
        try (KubernetesReflector reflector = follow(admin(), EndpointsApi.AUTO)) {
            awaitListed();
            String before = served();
            plane.killEtcd();
            await().atMost(SOON).until(() -> plane.get(0, "/readyz").statusCode() != 200);
            assertThat(served()).isEqualTo(before);
            plane.startEtcd();
            await().atMost(SOON).until(() -> plane.get(0, "/readyz").statusCode() == 200);
            awaitNewEndpoint("198.18.64.3");
            assertThat(reflector.watches()).allMatch(WatchStatus::synced);
        }
    }

    /** A server that was not there while objects changed does not know the last resourceVersion of the watch. */
    @Test
    void listsAgainWhenItsResourceVersionIsGone() throws Exception {
        plane.startServer(1);
        try (KubernetesReflector reflector = follow(plane.access(null, 1), EndpointsApi.AUTO)) {
            awaitListed();
            plane.killServer(1);
            plane.replace(SLICES + "/web-1", slice("web", "198.18.64.4"));
            plane.replace(SLICES + "/web-1", slice("web", "198.18.64.5"));
            plane.compact();
            plane.startServer(1);
            awaitListed();
            assertThat(served()).contains("198.18.64.5:8080");
            assertThat(reflector.watches()).anyMatch(watch -> watch.relists() > 0);
        } finally {
            plane.killServer(1);
        }
    }

    @Test
    void movesToTheOtherServer() throws Exception {
        plane.startServer(1);
        try (KubernetesReflector reflector = follow(plane.access(null, 1, 0), EndpointsApi.AUTO)) {
            awaitListed();
            plane.killServer(1);
            awaitNewEndpoint("198.18.64.6");
            await().atMost(SOON)
                    .untilAsserted(() -> assertThat(reflector.watches())
                            .allMatch(watch -> watch.server().equals(plane.url(0))));
        }
    }

    /** A server that hangs keeps its connections open, so that only its silence shows the failure. */
    @Test
    void movesAwayFromAServerThatHangs() throws Exception {
        plane.startServer(1);
        try (KubernetesReflector reflector = follow(plane.access(null, 1, 0), EndpointsApi.AUTO)) {
            awaitListed();
            String before = served();
            plane.signalServer(1, "STOP");
            await().atMost(SOON)
                    .untilAsserted(() -> assertThat(reflector.watches())
                            .allMatch(watch -> watch.server().equals(plane.url(0))));
            assertThat(served()).isEqualTo(before);
            awaitNewEndpoint("198.18.64.9");
        } finally {
            plane.killServer(1);
        }
    }

    /** The connections survive, so the changes of the meantime arrive on the same watches. */
    @Test
    void continuesWithAServerThatHungForAMoment() throws Exception {
        plane.startServer(1);
        try (KubernetesReflector reflector = follow(plane.access(null, 1), EndpointsApi.AUTO)) {
            awaitListed();
            String before = served();
            plane.signalServer(1, "STOP");
            plane.replace(SLICES + "/web-1", slice("web", "198.18.64.10"));
            assertThat(served()).isEqualTo(before);
            plane.signalServer(1, "CONT");
            await().atMost(SOON).until(() -> served().contains("198.18.64.10:8080"));
            assertThat(reflector.watches()).allMatch(watch -> watch.relists() == 0 && watch.reconnects() == 0);
        } finally {
            plane.killServer(1);
        }
    }

    @Test
    void readsEndpointsInsteadOfEndpointSlices() {
        plane.create("/api/v1/namespaces/default/endpoints", """
                {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "web"},
                 "subsets": [{"addresses": [{"ip": "198.18.64.77"}], "ports": [{"port": 8080}]}]}""");
        try (KubernetesReflector reflector = follow(admin(), EndpointsApi.ENDPOINTS)) {
            await().atMost(SOON).until(() -> served().contains("198.18.64.77:8080"));
            assertThat(reflector.watches()).anyMatch(watch -> watch.resource().equals("endpoints"));
        } finally {
            plane.delete("/api/v1/namespaces/default/endpoints/web");
        }
    }

    /** The token ends with its Secret. Watches that are open continue, so the server ends them with its restart. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "tokenFile: revoked.token",
                "exec: {apiVersion: client.authentication.k8s.io/v1, command: ./revoked, interactiveMode: Never}"
            })
    void usesANewTokenAfterTheOldOneWasRevoked(String user) throws Exception {
        String secrets = "/api/v1/namespaces/kube-system/secrets";
        plane.create(secrets, """
                {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "session"}}""");
        Path token = plane.write("revoked.token", plane.token(ACCOUNT, "session"));
        plugin("revoked", "$(cat " + token + ")");
        try (KubernetesReflector reflector = follow(plane.accessAs(user), EndpointsApi.AUTO)) {
            awaitListed();
            String before = served();
            plane.delete(secrets + "/session");
            plane.killServer(0);
            plane.startServer(0);
            await().atMost(SOON)
                    .until(() -> reflector.watches().stream()
                            .allMatch(watch -> watch.trouble().contains("401")));
            assertThat(served()).isEqualTo(before);
            plane.write("revoked.token", plane.token(ACCOUNT, ""));
            awaitNewEndpoint("198.18.64." + (user.startsWith("exec") ? 11 : 7));
        }
    }

    @Test
    void theShippedRoleIsEnough() throws Exception {
        Path token = plane.write("sluice.token", plane.token(ACCOUNT, ""));
        try (KubernetesReflector reflector = follow(plane.access(token, 0), EndpointsApi.AUTO)) {
            awaitListed();
            assertThat(reflector.watches())
                    .allMatch(WatchStatus::synced)
                    .allMatch(watch -> watch.trouble().isEmpty());
        }
    }

    /** ServiceCIDRs and Events are optional. */
    @Test
    void aSmallerRoleStillServes() throws Exception {
        JsonNode role = RealControlPlane.shippedRole();
        ((ArrayNode) role.at("/rules"))
                .removeIf(rule -> rule.toString().contains("servicecidrs")
                        || rule.toString().contains("\"events\""));
        plane.replace(ROLES + "/sluice", role.toString());
        Path token = plane.write("sluice.token", plane.token(ACCOUNT, ""));
        ListAppender<ILoggingEvent> logged = new ListAppender<>();
        Logger logger = (Logger) LoggerFactory.getLogger(EventRecorder.class);
        logged.start();
        logger.addAppender(logged);
        try (KubernetesReflector reflector = follow(plane.access(token, 0), EndpointsApi.AUTO)) {
            awaitListed();
            reflector.events().failed(WEB, "is not recorded");
            await().atMost(SOON)
                    .untilAsserted(() -> assertThat(logged.list)
                            .extracting(ILoggingEvent::getFormattedMessage)
                            .anyMatch(line -> line.contains("403: events is forbidden: User")));
            awaitNewEndpoint("198.18.64.8");
        } finally {
            logger.detachAppender(logged);
            plane.replace(ROLES + "/sluice", RealControlPlane.shippedRole().toString());
        }
    }

    @Test
    void recordsARepeatedProblemInOneEvent() throws Exception {
        Path token = plane.write("sluice.token", plane.token(ACCOUNT, ""));
        try (KubernetesReflector reflector = follow(plane.access(token, 0), EndpointsApi.AUTO)) {
            awaitListed();
            reflector.events().failed(WEB, "198.19.0.10:80/tcp: first");
            reflector.events().failed(WEB, "198.19.0.10:80/tcp: second");
            await().atMost(SOON).untilAsserted(() -> {
                List<JsonNode> events = plane.read("/api/v1/namespaces/default/events")
                        .at("/items")
                        .valueStream()
                        .filter(event -> event.at("/reason").stringValue().equals("FrontendFailed"))
                        .toList();
                assertThat(events).singleElement().satisfies(event -> {
                    assertThat(event.at("/count").intValue()).isEqualTo(2);
                    assertThat(event.at("/message").stringValue()).endsWith("second");
                    assertThat(event.at("/involvedObject/uid"))
                            .isEqualTo(plane.read(SERVICES + "/web").at("/metadata/uid"));
                });
            });
        }
    }
}
