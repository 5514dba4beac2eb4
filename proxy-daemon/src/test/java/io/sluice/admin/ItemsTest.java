package io.sluice.admin;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Instant;
import org.junit.jupiter.api.Test;

/** Times in the admin API. */
final class ItemsTest {
    @Test
    void timesHaveMillisecondsEvenIfTheyAreZero() {
        assertThat(Items.time(Instant.parse("2026-11-30T08:48:18Z"))).isEqualTo("2026-11-30T08:48:18.000Z");
        assertThat(Items.time(Instant.parse("2026-11-30T08:48:18.856999Z"))).isEqualTo("2026-11-30T08:48:18.856Z");
        assertThat(Items.time(Instant.EPOCH)).isNull();
    }
}
