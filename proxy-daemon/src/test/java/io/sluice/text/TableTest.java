package io.sluice.text;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/** Alignment and truncation. */
final class TableTest {
    @Test
    void alignsTextLeftAndNumbersRight() {
        Table table = new Table("NAME", "N", "X").alignRight(1);
        table.row("a", "5", "x");
        table.row("abcdef", "1000", "");
        assertThat(table.lines()).containsExactly("NAME       N  X", "a          5  x", "abcdef  1000");
    }

    @Test
    void truncatesTheLastColumnFirstAndNeverNumbers() {
        Table table = new Table("SERVICE", "COUNT", "REASON").alignRight(1);
        table.row("namespace/service", "123456789012", "connection refused");
        assertThat(table.lines(50, false))
                .containsExactly(
                        "SERVICE                   COUNT  REASON",
                        "namespace/service  123456789012  connection refus…");
        assertThat(table.lines(35, false))
                .containsExactly("SERVICE             COUNT  REASON", "namespace/…  123456789012  connect…");
        assertThat(table.lines(10, false))
                .allSatisfy(line -> assertThat(line.length()).isLessThanOrEqualTo(32));
        assertThat(table.lines(10, false).get(1)).contains("123456789012");
    }

    @Test
    void doesNotTruncateAColumnOfNumbersAtTheEnd() {
        Table table = new Table("SERVICE", "BYTES").alignRight(1);
        table.row("namespace/service", "123456789012");
        assertThat(table.lines(24, false)).containsExactly("SERVICE            BYTES", "namespace…  123456789012");
    }

    @Test
    void truncatesAddressesAfterTexts() {
        Table table = new Table("SERVICE", "ENDPOINT", "ERROR");
        table.truncateLast(1);
        table.row("namespace/service", "192.0.2.1:8080", "connection refused");
        assertThat(table.lines(40, false).get(1)).isEqualTo("namespace/ser…  192.0.2.1:8080  connect…");
        assertThat(table.lines(30, false).get(1)).isEqualTo("namespa…  192.0.2.1…  connect…");
    }

    @Test
    void truncatesOnlyFreeTextIfNamesAndAddressesAreNeeded() {
        Table table = new Table("SERVICE", "ENDPOINT", "ERROR");
        table.row("namespace/service", "192.0.2.1:8080", "connection refused");
        assertThat(table.lines(10, true).get(1)).isEqualTo("namespace/service  192.0.2.1:8080  connect…");
    }
}
