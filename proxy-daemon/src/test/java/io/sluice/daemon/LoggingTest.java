package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Tests the exact format of log lines. */
final class LoggingTest {
    private static final String SPECIAL_CHARACTERS =
            "quote \" backslash \\ tab \t newline \n bell \u0007 and \u00e9\u20ac";

    private final ByteArrayOutputStream stream = new ByteArrayOutputStream();
    private final Logger log = LoggerFactory.getLogger("io.sluice.daemon.Some\"Name");

    private List<String> lines() {
        return stream.toString(StandardCharsets.UTF_8).lines().toList();
    }

    @AfterEach
    void restoreLogging() {
        Logging.configure("text", "warn", System.err);
    }

    @Test
    void writesOneJsonObjectPerLine() {
        Logging.configure("json", "info", stream);
        log.info("plain {}", 1);
        log.warn(SPECIAL_CHARACTERS);
        log.error("failed", new IllegalStateException(SPECIAL_CHARACTERS, new RuntimeException("cause \"of\" it")));
        log.info("null {}", (Object) null);
        log.debug("not logged");
        assertThat(lines()).hasSize(4);
        List<JsonNode> events =
                lines().stream().map(line -> JsonMapper.shared().readTree(line)).toList();
        assertThat(events.get(0).at("/message").stringValue()).isEqualTo("plain 1");
        assertThat(events.get(0).at("/level").stringValue()).isEqualTo("INFO");
        assertThat(events.get(0).at("/logger").stringValue()).isEqualTo(log.getName());
        assertThat(Instant.parse(events.get(0).at("/time").stringValue())).isAfter(Instant.EPOCH);
        assertThat(events.get(0).has("exception")).isFalse();
        assertThat(events.get(1).at("/message").stringValue()).isEqualTo(SPECIAL_CHARACTERS);
        assertThat(events.get(2).at("/exception").stringValue())
                .startsWith("java.lang.IllegalStateException: " + SPECIAL_CHARACTERS)
                .contains("Caused by: java.lang.RuntimeException: cause \"of\" it", "writesOneJsonObjectPerLine");
    }

    @Test
    void writesTextAsOneLineWithTimeAndLevel() {
        Logging.configure("text", "info", stream);
        LoggerFactory.getLogger("io.sluice.daemon.Daemon").info("feed synced");
        assertThat(lines())
                .singleElement()
                .asString()
                .matches("\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}\\S+ INFO  feed synced");
    }

    @Test
    void honorsTheLevel() {
        Logging.configure("text", "error", stream);
        log.warn("not this");
        log.error("this");
        assertThat(lines()).hasSize(1);
    }
}
