package io.sluice.text;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class DurationFormatTest {
    @ParameterizedTest
    @CsvSource({
        "0s, 0, 0s",
        "1ms, 1, 1ms",
        "500ms, 500, 500ms",
        "1000ms, 1000, 1s",
        "1.5s, 1500, 1500ms",
        "0.001s, 1, 1ms",
        "90s, 90000, 90s",
        "120s, 120000, 2m",
        "1.5m, 90000, 90s",
        "90m, 5400000, 90m",
        "0.25h, 900000, 15m",
        "60m, 3600000, 1h",
        "48h, 172800000, 48h",
        "999999999h, 3599999996400000, 999999999h"
    })
    void parsesAndFormats(String text, long millis, String formatted) {
        assertThat(DurationFormat.parse(text)).contains(Duration.ofMillis(millis));
        assertThat(DurationFormat.format(Duration.ofMillis(millis))).isEqualTo(formatted);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "1",
                "s",
                "1 s",
                " 1s",
                "1s ",
                "-1s",
                "+1s",
                "1S",
                "1m30s",
                ".5s",
                "1.s",
                "1.0000s",
                "0.5ms",
                "1d",
                "1000000000s",
                "1e3s",
                "1,5s",
                "\u0661s"
            })
    void rejectsOtherStrings(String text) {
        assertThat(DurationFormat.parse(text)).isEmpty();
    }
}
