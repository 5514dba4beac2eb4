package io.sluice.apiserver;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.apiserver.EventRecorder.Reason;
import io.sluice.document.Problem;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
import io.sluice.rules.Manifests;
import io.sluice.thread.Supervisor;
import java.io.IOException;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;

/** Events in the cluster, and their limits. */
class EventRecorderTest {
    private static final ServicePortName WEB = new ServicePortName("default", "web", "", Protocol.TCP);

    private final FakeCluster cluster = new FakeCluster();
    private final AtomicLong nanoTime = new AtomicLong(Long.MAX_VALUE - 5);

    @SuppressWarnings("NullAway.Init") // set in @BeforeEach
    private EventRecorder recorder;

    @BeforeEach
    void start() throws IOException {
        cluster.start();
        cluster.apply(Manifests.service("web", "10.96.0.1"));
        Clock still = Clock.fixed(Instant.parse("2026-01-31T12:00:00.5Z"), ZoneOffset.UTC);
        recorder = new EventRecorder(cluster.client(), "n1", still, nanoTime::get);
        recorder.start(new Supervisor());
    }

    @AfterEach
    void close() {
        recorder.close();
        cluster.close();
    }

    private static Problem problem(String path, Problem.Severity severity, String message) {
        return new Problem(severity, path, "Service default/web", "spec.ports[0].port", message);
    }

    @Test
    void anErrorDoesNotEndTheThread() {
        recorder.close();
        AtomicInteger calls = new AtomicInteger();
        recorder = new EventRecorder(cluster.client(), "n1", Clock.systemUTC(), () -> {
            // The constructor makes the first call.
            if (calls.incrementAndGet() == 2) {
                throw new StackOverflowError("thrown by the test");
            }
            return nanoTime.get();
        });
        recorder.start(new Supervisor());
        recorder.failed(WEB, "this one is lost");
        recorder.failed(WEB, "this one is not");
        await().until(() -> cluster.posted.size() == 1);
        assertThat(cluster.posted.get(0).at("/message").stringValue()).isEqualTo("this one is not");
    }

    @Test
    void recordsAFailedFrontendOnItsService() {
        recorder.failed(WEB, "10.96.0.1:80/tcp: another socket has this address and port");
        await().until(() -> cluster.posted.size() == 1);
        JsonNode event = cluster.posted.get(0);
        assertThat(event.at("/involvedObject")).hasToString("""
                {"apiVersion":"v1","kind":"Service","namespace":"default","name":"web","uid":""}\
                """.strip());
        assertThat(event.at("/reason").stringValue()).isEqualTo("FrontendFailed");
        assertThat(event.at("/type").stringValue()).isEqualTo("Warning");
        assertThat(event.at("/message").stringValue()).contains("another socket");
        assertThat(event.at("/source/host").stringValue()).isEqualTo("n1");
        assertThat(event.at("/firstTimestamp").stringValue()).isEqualTo("2026-01-31T12:00:00Z");
    }

    @Test
    void recordsOnlyErrorsOfObjectsAndEachOnlyOnce() {
        String path = "/api/v1/namespaces/default/services/web";
        recorder.problem(problem(path, Problem.Severity.WARNING, "a"));
        recorder.problem(problem("settings", Problem.Severity.ERROR, "b"));
        recorder.problem(problem(path, Problem.Severity.ERROR, "c"));
        recorder.problem(problem(path, Problem.Severity.ERROR, "c"));
        recorder.problem(problem(path.replace("web", "gone"), Problem.Severity.ERROR, "d"));
        recorder.problem(problem(path, Problem.Severity.ERROR, "e"));
        await().until(() -> cluster.patched.size() == 1);
        assertThat(cluster.posted)
                .extracting(event -> event.at("/message").stringValue())
                .containsExactly("spec.ports[0].port: c");
        assertThat(cluster.patched.get(0))
                .hasToString("{\"message\":\"spec.ports[0].port: e\","
                        + "\"lastTimestamp\":\"2026-01-31T12:00:00Z\",\"count\":2}");
    }

    /** The Service is served, so the reason must not be that of an object that is not. */
    @Test
    void recordsAnInvalidAnnotation() {
        recorder.problem(new Problem(
                Problem.Severity.ERROR,
                "/api/v1/namespaces/default/services/web",
                "Service default/web",
                "metadata.annotations[service.sluice.io/hold]",
                "'soon' is invalid"));
        await().until(() -> cluster.posted.size() == 1);
        assertThat(cluster.posted.get(0).at("/reason").stringValue()).isEqualTo("InvalidAnnotation");
        assertThat(cluster.posted.get(0).at("/message").stringValue())
                .isEqualTo("metadata.annotations[service.sluice.io/hold]: 'soon' is invalid");
    }

    @Test
    void createsAnEventAgainThatIsGoneOrCannotBePatched() {
        recorder.failed(WEB, "first");
        await().until(() -> cluster.posted.size() == 1);
        cluster.fail("/events/web.", 1, 404, "", "{}");
        recorder.failed(WEB, "second");
        await().until(() -> cluster.posted.size() == 2);
        cluster.fail("/events/web.", 1, 403, "", "{}");
        recorder.failed(WEB, "third");
        await().until(() -> cluster.posted.size() == 3);
        recorder.failed(WEB, "fourth");
        await().until(() -> cluster.patched.size() == 1);
        assertThat(cluster.posted)
                .extracting(event -> event.at("/message").stringValue())
                .containsExactly("first", "second", "third");
        assertThat(cluster.patched.get(0).at("/count").intValue()).isEqualTo(2);
    }

    @Test
    void createsNoSecondEventAfterAServerErrorOnAPatch() {
        recorder.failed(WEB, "first");
        await().until(() -> cluster.posted.size() == 1);
        cluster.fail("/events/web.", 1, 429, "", "{}");
        recorder.failed(WEB, "lost");
        recorder.failed(WEB, "merged");
        await().until(() -> cluster.patched.size() == 1);
        assertThat(cluster.posted).hasSize(1);
        assertThat(cluster.patched.get(0).at("/message").stringValue()).isEqualTo("merged");
    }

    @Test
    void recordsFailingEndpointsAndTheirRecovery() {
        recorder.service(WEB, Reason.ENDPOINT_FAILING, "endpoint 192.0.2.4:80 is silent");
        recorder.service(WEB, Reason.NO_ENDPOINT_ANSWERS, "no endpoint answers (1 of 1 failing)");
        recorder.service(WEB, Reason.ENDPOINT_RECOVERED, "endpoint 192.0.2.4:80 answers again\nafter 12 s");
        recorder.service(WEB, Reason.SERVICE_RECOVERED, "an endpoint answers again (0 of 1 failing)");
        await().until(() -> cluster.posted.size() == 4);
        assertThat(cluster.posted)
                .extracting(event -> event.at("/type").stringValue() + " "
                        + event.at("/reason").stringValue() + " "
                        + event.at("/message").stringValue())
                .containsExactly(
                        "Warning EndpointFailing endpoint 192.0.2.4:80 is silent",
                        "Warning NoEndpointAnswers no endpoint answers (1 of 1 failing)",
                        "Normal EndpointRecovered endpoint 192.0.2.4:80 answers again\\u000Aafter 12 s",
                        "Normal ServiceRecovered an endpoint answers again (0 of 1 failing)");
    }

    @Test
    void repeatsAMessageOfAProblemThatHadEnded() {
        recorder.service(WEB, Reason.ENDPOINT_FAILING, "silent");
        recorder.service(WEB, Reason.ENDPOINT_FAILING, "silent");
        recorder.service(WEB, Reason.ENDPOINT_RECOVERED, "answers again");
        recorder.service(WEB, Reason.ENDPOINT_FAILING, "silent");
        await().until(() -> cluster.posted.size() == 2 && cluster.patched.size() == 1);
        assertThat(cluster.patched.get(0).at("/message").stringValue()).isEqualTo("silent");
        assertThat(cluster.patched.get(0).at("/count").intValue()).isEqualTo(2);
    }

    @Test
    void portsOfOneServiceShareAnEvent() {
        recorder.failed(WEB, "10.96.0.1:80/tcp: taken");
        recorder.failed(new ServicePortName("default", "web", "dns", Protocol.UDP), "10.96.0.1:53/udp: taken");
        await().until(() -> cluster.patched.size() == 1);
        assertThat(cluster.posted).hasSize(1);
        assertThat(cluster.patched.get(0).at("/message").stringValue()).isEqualTo("10.96.0.1:53/udp: taken");
    }

    @Test
    void retriesAMessageThatWasNotRecorded() {
        cluster.fail("/events", 1, 401, "", "{\"message\":\"Unauthorized\"}");
        recorder.failed(WEB, "taken");
        recorder.failed(WEB, "taken");
        await().until(() -> cluster.posted.size() == 1);
    }

    @Test
    void doesNotSuspendANamespaceAfterA401() {
        cluster.fail("/events", 1, 401, "", "{\"message\":\"Unauthorized\"}");
        recorder.failed(WEB, "lost");
        recorder.failed(WEB, "recorded");
        await().until(() -> cluster.posted.size() == 1);
        assertThat(cluster.posted.get(0).at("/message").stringValue()).isEqualTo("recorded");
    }

    @Test
    void limitsTheRateOfEvents() {
        for (int i = 0; i < 60; i++) {
            recorder.failed(WEB, "number " + i);
        }
        await().until(() -> cluster.posted.size() + cluster.patched.size() == 25);
        // No more requests: the recorder has processed all events.
        long requests = cluster.requests.size();
        await().during(java.time.Duration.ofMillis(100)).until(() -> cluster.requests.size() == requests);
        assertThat(cluster.posted).hasSize(1);
        assertThat(cluster.patched).hasSize(24);
    }

    @Test
    void suspendsANamespaceAfterA403() {
        cluster.apply(Manifests.service("web", "10.96.0.2").replace("name: web", "namespace: other, name: web"));
        cluster.fail("/events", 1, 403, "", "{\"message\":\"the namespace is being terminated\"}");
        recorder.failed(WEB, "rejected");
        recorder.failed(WEB, "not even tried");
        recorder.failed(new ServicePortName("other", "web", "", Protocol.TCP), "elsewhere");
        await().until(() -> cluster.posted.size() == 1);
        nanoTime.addAndGet(TimeUnit.MINUTES.toNanos(10));
        recorder.failed(WEB, "later");
        await().until(() -> cluster.posted.size() == 2);
        assertThat(cluster.posted)
                .extracting(event -> event.at("/message").stringValue())
                .containsExactly("elsewhere", "later");
    }
}
