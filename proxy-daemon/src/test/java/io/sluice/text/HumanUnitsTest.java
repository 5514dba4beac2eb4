package io.sluice.text;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Rounding and units. */
final class HumanUnitsTest {
    @ParameterizedTest
    @CsvSource({
        "0,0",
        "999,999",
        "1000,1.0k",
        "1234,1.2k",
        "9949,9.9k",
        "9951,10k",
        "999499,999k",
        "999500,1.0M",
        "31e6,31M"
    })
    void formatsCounts(double value, String text) {
        assertThat(HumanUnits.count(value)).isEqualTo(text);
    }

    @ParameterizedTest
    @CsvSource({"0,0 B", "820,820 B", "3400000,3.4 MB", "40100,40 kB", "9.3e18,9.3 EB"})
    void formatsBytes(double value, String text) {
        assertThat(HumanUnits.bytes(value)).isEqualTo(text);
    }

    @ParameterizedTest
    @CsvSource({"0,0", "0.34,0.3", "9.94,9.9", "9.96,10", "1234,1.2k"})
    void formatsRates(double value, String text) {
        assertThat(HumanUnits.rate(value)).isEqualTo(text);
    }

    @ParameterizedTest
    @CsvSource({"-1,0s", "0.9,0s", "59.9,59s", "60,1m", "3599,59m", "3600,1h", "172799,47h", "172800,2d"})
    void formatsDurations(double seconds, String text) {
        assertThat(HumanUnits.duration(seconds)).isEqualTo(text);
    }

    @Test
    void doesNotDependOnTheLocale() {
        Locale before = Locale.getDefault();
        Locale.setDefault(Locale.GERMANY);
        try {
            assertThat(HumanUnits.count(1234)).isEqualTo("1.2k");
        } finally {
            Locale.setDefault(before);
        }
    }
}
