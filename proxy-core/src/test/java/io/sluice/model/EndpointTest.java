package io.sluice.model;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class EndpointTest {
    @ParameterizedTest
    @CsvSource({
        "10.1.0.4:8080, 10.1.0.4:8080",
        "10.1.0.4:00080, 10.1.0.4:80",
        "[fd00:0::4]:1, [fd00::4]:1",
        "[10.1.0.4]:65535, 10.1.0.4:65535",
        "[::ffff:10.1.0.4]:80, 10.1.0.4:80",
    })
    void parsesAnAddressAndAPort(String text, String canonical) {
        assertThat(Endpoint.parse(text)).hasToString(canonical);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                ":",
                ":80",
                "10.1.0.4",
                "10.1.0.4:",
                "10.1.0.4:0",
                "10.1.0.4:65536",
                "10.1.0.4:000080",
                "10.1.0.4:-1",
                "10.1.0.4:+80",
                "10.1.0.4: 80",
                "10.1.0.256:80",
                "fd00::4:80",
                "[fd00::4]",
                "[fd00::4]80",
                "[fd00::4%eth0]:80",
                "[]:80",
                "web:80",
                "10.1.0.4:80/tcp"
            })
    void rejectsOtherStrings(String text) {
        assertThat(Endpoint.parse(text)).isNull();
    }
}
