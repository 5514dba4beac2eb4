package io.sluice.ops;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
import io.sluice.stats.Counter;
import io.sluice.stats.Stats;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Log lines and events for connections and datagrams that a traffic policy rejects. */
final class RejectionLogTest {
    private final AtomicLong nanoTime = new AtomicLong(Long.MAX_VALUE - 5);
    private final Stats stats = new Stats(2);
    private final EventLog events = new EventLog();
    private final StateLogLines log = new StateLogLines();
    private final RejectionLog rejections = new RejectionLog(stats, events, nanoTime::get);

    @AfterEach
    void stop() {
        log.close();
    }

    private void reject(String service, Protocol protocol, Counter counter, int count) {
        stats.open(new ServicePortName("shop", service, "http", protocol))
                .cells(1)
                .add(counter, count);
    }

    private void checkAfter(int seconds) {
        nanoTime.addAndGet(TimeUnit.SECONDS.toNanos(seconds));
        rejections.check();
    }

    @Test
    void logsWhenRejectionsBeginAndAgainAfterAQuietMinute() {
        rejections.check();
        reject("web", Protocol.TCP, Counter.SESSIONS_OVER_SERVICE_LIMIT, 3);
        checkAfter(5);
        String begin = "WARN shop/web:http: rejecting new connections: max-connections reached ";
        assertThat(log.take()).containsExactly(begin + "(3 so far)");
        assertThat(events.latest(new EventLog.Filter("shop/web", EventLog.Kind.FAILURE), 10))
                .hasSize(1);
        for (int i = 0; i < 20; i++) {
            reject("web", Protocol.TCP, Counter.SESSIONS_OVER_SERVICE_LIMIT, 1);
            checkAfter(5);
        }
        assertThat(log.take()).isEmpty();
        checkAfter(60);
        reject("web", Protocol.TCP, Counter.SESSIONS_OVER_SERVICE_LIMIT, 1);
        checkAfter(5);
        assertThat(log.take()).containsExactly(begin + "(24 so far)");
    }

    @Test
    void logsAtMostTenLinesPerMinute() {
        for (int i = 0; i < 12; i++) {
            reject("dns-" + i, Protocol.UDP, Counter.DATAGRAMS_OVER_CLIENT_RATE, 1);
        }
        rejections.check();
        assertThat(log.take())
                .hasSize(11)
                .startsWith("WARN shop/dns-0:http: dropping datagrams: connection-rate-per-client exceeded (1 so far)")
                .endsWith("INFO rejections by other traffic policies are not logged for a minute");
        reject("dns-9", Protocol.UDP, Counter.DATAGRAMS_OVER_CLIENT_RATE, 1);
        checkAfter(70);
        assertThat(log.take()).hasSize(1);
    }
}
