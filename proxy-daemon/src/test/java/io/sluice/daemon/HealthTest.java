package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.daemon.HttpPort.Answer;
import io.sluice.forward.FrontendStatus;
import io.sluice.forward.FrontendStatus.Failure;
import io.sluice.forward.FrontendStatus.State;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** What probes are told in each state. */
final class HealthTest {
    private static final Instant NOW = Instant.parse("2026-01-02T03:04:05Z");
    private static final Instant EARLIER = Instant.parse("2026-01-02T03:00:00Z");

    private static Answer ask(String path, DaemonState state) throws Exception {
        Health health = new Health(() -> state, Clock.fixed(NOW, ZoneOffset.UTC));
        return Objects.requireNonNull(health.pages().get(path)).answer("");
    }

    private static DaemonState state(
            boolean stopping, boolean synced, @Nullable Instant pendingSince, State... states) {
        List<FrontendStatus> frontends = new ArrayList<>();
        for (State state : states) {
            frontends.add(new FrontendStatus(
                    new FrontendAddress(Protocol.TCP, IpAddress.v4(0x7f000001), 1000 + frontends.size()),
                    new ServicePortName("ns", "a", "", Protocol.TCP),
                    state,
                    state == State.FAILED ? Failure.ADDRESS_IN_USE : Failure.NONE,
                    state == State.FAILED ? "taken" : "",
                    EARLIER));
        }
        return new DaemonState(
                stopping,
                synced,
                Optional.ofNullable(pendingSince),
                synced ? Optional.of(EARLIER) : Optional.empty(),
                frontends,
                List.of(),
                0);
    }

    @Test
    void readyOnlyWhenSyncedAndOpenedAndNotStopping() throws Exception {
        assertThat(ask("/readyz", state(false, false, null)))
                .isEqualTo(Answer.text(503, "not ready: the feed has not been read completely yet\n"));
        assertThat(ask("/readyz", state(false, true, null, State.ACTIVE, State.PENDING)))
                .isEqualTo(Answer.text(503, "not ready: 1 of 2 frontends are not opened yet\n"));
        assertThat(ask("/readyz", state(true, true, null, State.ACTIVE)))
                .isEqualTo(Answer.text(503, "not ready: shutting down\n"));
        assertThat(ask("/readyz", state(false, true, null, State.ACTIVE)))
                .isEqualTo(Answer.text(200, "ready: 1 frontend\n"));
    }

    @Test
    void oneFailedFrontendDoesNotTakeTheOthersAway() throws Exception {
        Answer answer = ask("/readyz", state(false, true, null, State.ACTIVE, State.FAILED));
        assertThat(answer.status()).isEqualTo(200);
        assertThat(answer.body()).contains("1 failed");
    }

    @Test
    void healthyWhileStarting() throws Exception {
        assertThat(ask("/healthz", state(false, false, null)).status()).isEqualTo(200);
        assertThat(ask("/livez", state(false, false, null)).status()).isEqualTo(200);
    }

    @Test
    void changeThatIsPendingForAMinuteIsUnhealthy() throws Exception {
        assertThat(ask("/livez", state(false, true, NOW.minusSeconds(59))).status())
                .isEqualTo(200);
        Answer late = ask("/livez", state(false, true, NOW.minusSeconds(60)));
        assertThat(late.status()).isEqualTo(503);
        JsonNode body = JsonMapper.shared().readTree(late.body());
        assertThat(body.at("/healthy").booleanValue()).isFalse();
        assertThat(body.at("/lastUpdated").stringValue()).isEqualTo(EARLIER.toString());
    }

    @Test
    void bodyIsKubeProxys() throws Exception {
        Answer answer = ask("/healthz", state(false, true, null));
        assertThat(answer.contentType()).isEqualTo("application/json");
        assertThat(answer.body())
                .isEqualTo("{\"lastUpdated\":\"2026-01-02T03:04:05Z\",\"currentTime\":\"2026-01-02T03:04:05Z\","
                        + "\"nodeEligible\":true,\"healthy\":true,\"status\":"
                        + "{\"IPv4\":{\"lastUpdated\":\"2026-01-02T03:00:00Z\",\"healthy\":true},"
                        + "\"IPv6\":{\"lastUpdated\":\"2026-01-02T03:00:00Z\",\"healthy\":true}}}");
        assertThat(ask("/livez", state(false, true, null)).body()).doesNotContain("nodeEligible");
    }

    @Test
    void drainingIsAliveButNotForLoadBalancers() throws Exception {
        assertThat(ask("/livez", state(true, true, null)).status()).isEqualTo(200);
        Answer answer = ask("/healthz", state(true, true, null));
        assertThat(answer.status()).isEqualTo(503);
        assertThat(answer.body()).contains("\"nodeEligible\":false");
    }
}
