package io.sluice.ops;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.ops.EventLog.Event;
import io.sluice.ops.EventLog.Filter;
import io.sluice.ops.EventLog.Kind;
import java.time.Instant;
import java.util.List;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

/** The ring of events, and how it is read in parts. */
final class EventLogTest {
    private final EventLog events = new EventLog();

    private void add(Kind kind, String service, String reason) {
        events.add(Instant.EPOCH, kind, service, "192.0.2.1:80", reason);
    }

    private static List<Long> ids(List<Event> events) {
        return events.stream().map(Event::id).toList();
    }

    @Test
    void keepsTheLastThousand() {
        for (int i = 0; i < 1_234; i++) {
            add(Kind.CHANGE, "shop/web", "number " + i);
        }
        List<Event> all = events.after(0, Filter.ALL, 5_000);
        assertThat(ids(all))
                .isEqualTo(LongStream.rangeClosed(235, 1_234).boxed().toList());
        assertThat(all.get(999).reason()).isEqualTo("number 1233");
        assertThat(events.lastId()).isEqualTo(1_234);
    }

    @Test
    void returnsTheOldestAfterAnIdAndTheLatestWithoutOne() {
        for (int i = 0; i < 10; i++) {
            add(Kind.CHANGE, "shop/web", "");
        }
        assertThat(ids(events.after(4, Filter.ALL, 3))).containsExactly(5L, 6L, 7L);
        assertThat(ids(events.latest(Filter.ALL, 3))).containsExactly(8L, 9L, 10L);
        assertThat(events.after(10, Filter.ALL, 3)).isEmpty();
    }

    @Test
    void returnsAllEventsAfterAnIdOfAnEarlierProcess() {
        add(Kind.CHANGE, "shop/web", "");
        assertThat(ids(events.after(93, Filter.ALL, 3))).containsExactly(1L);
    }

    @Test
    void filtersByServicePortAndKind() {
        add(Kind.CHANGE, "shop/web", "");
        add(Kind.FAILURE, "shop/web:http", "");
        add(Kind.FAILURE, "shop/web:https", "");
        add(Kind.FAILURE, "shop/web-2:http", "");
        assertThat(ids(events.after(0, new Filter("shop/web", null), 9))).containsExactly(1L, 2L, 3L);
        assertThat(ids(events.latest(new Filter("shop/web", Kind.FAILURE), 9))).containsExactly(2L, 3L);
        assertThat(ids(events.latest(new Filter("shop/web:http", null), 9))).containsExactly(2L);
        assertThat(ids(events.latest(new Filter(null, Kind.CHANGE), 9))).containsExactly(1L);
    }

    @Test
    void escapesAndShortensReasons() {
        add(Kind.FAILURE, "shop/web", "a\nb" + "x".repeat(5_000));
        assertThat(events.latest(Filter.ALL, 1).get(0).reason())
                .startsWith("a\\u000Abxxx")
                .hasSizeLessThan(1_100);
    }
}
