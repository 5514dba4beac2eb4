package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
import io.sluice.ops.LogLevel;
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
    void writesKeyValuePairsAsFieldsOfJsonOnly() {
        Logging.configure("json", "info", stream);
        log.atWarn()
                .addKeyValue("service", new ServicePortName("shop", "web", "http", Protocol.TCP))
                .addKeyValue("reason", SPECIAL_CHARACTERS)
                .log("{}: failed", "shop/web:http");
        JsonNode event = JsonMapper.shared().readTree(lines().get(0));
        assertThat(event.at("/message").stringValue()).isEqualTo("shop/web:http: failed");
        assertThat(event.at("/service").stringValue()).isEqualTo("shop/web:http");
        assertThat(event.at("/reason").stringValue()).isEqualTo(SPECIAL_CHARACTERS);
        stream.reset();
        Logging.configure("text", "info", stream);
        log.atWarn().addKeyValue("service", "shop/web").log("failed");
        assertThat(lines()).singleElement().asString().endsWith(" WARN  failed");
    }

    @Test
    void escapesControlCharactersInText() {
        Logging.configure("text", "info", stream);
        log.info("client {}", "a\r\n2026-01-01 ERROR forged \u001b[31m \u202e \u009b and \u00e9\u20ac");
        assertThat(lines())
                .singleElement()
                .asString()
                .endsWith("client a\\u000D\\u000A2026-01-01 ERROR forged \\u001B[31m \\u202E \\u009B and \u00e9\u20ac");
    }

    @Test
    void doesNotShortenLongMessages() {
        Logging.configure("text", "info", stream);
        log.info("{}", "x".repeat(5_000));
        assertThat(lines()).singleElement().asString().endsWith("x".repeat(5_000));
    }

    @Test
    void changesTheLevelAtRunTime() {
        Logging.configure("text", "warn", stream);
        assertThat(LogLevel.get()).isEqualTo("warn");
        assertThat(LogLevel.set("debug")).isEqualTo("warn");
        log.debug("logged");
        assertThat(LogLevel.set("info")).isEqualTo("debug");
        log.debug("not logged");
        assertThat(LogLevel.get()).isEqualTo("info");
        assertThat(lines()).hasSize(1);
        for (String invalid : List.of("DEBUG", "all", "")) {
            assertThatThrownBy(() -> LogLevel.set(invalid))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("level must be error, warn, info, debug or trace");
        }
        assertThat(LogLevel.get()).isEqualTo("info");
    }

    @Test
    void honorsTheLevel() {
        Logging.configure("text", "error", stream);
        log.warn("not this");
        log.error("this");
        assertThat(lines()).hasSize(1);
    }
}
