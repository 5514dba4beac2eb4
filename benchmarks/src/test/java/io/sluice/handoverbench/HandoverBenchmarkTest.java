package io.sluice.handoverbench;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;

/** Tests the options of {@link HandoverBenchmark} and their errors; nothing is measured. */
class HandoverBenchmarkTest {
    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();
    private final CommandLine line =
            HandoverBenchmark.commandLine().setOut(new PrintWriter(out, true)).setErr(new PrintWriter(err, true));

    @Test
    void helpShowsTheDefaults() {
        assertThat(line.execute("--help")).isZero();
        assertThat(out.toString()).contains("--connections=N", "8000", "--handovers=N", "20", "--mode=MODE", "bind");
    }

    @ParameterizedTest
    @CsvSource({
        "--connections=9001, '--connections must be 1 to 9000, because Sluice needs two descriptors for each'",
        "--active=8001, --active must be 1 to the number of connections",
        "--interval=0, --interval must be 1 to 500",
        "--handovers=-1, --handovers must not be negative",
        "--rate=-1, rates and numbers must not be negative"
    })
    void rejectsValuesThatItCannotMeasure(String option, String message) {
        assertThat(line.execute("--sluice=s", "--out=o", option)).isEqualTo(2);
        assertThat(err.toString()).startsWith(message);
    }

    @Test
    void optionsOverrideThoseOfQuick() {
        assertThat(line.execute("--sluice=s", "--out=o", "--quick", "--connections=50"))
                .isEqualTo(2);
        assertThat(err.toString()).startsWith("--active must be 1 to the number of connections");
    }
}
