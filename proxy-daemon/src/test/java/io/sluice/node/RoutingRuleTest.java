package io.sluice.node;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import tools.jackson.databind.json.JsonMapper;

final class RoutingRuleTest {
    private static RoutingRule rule(String json) {
        return RoutingRule.of(JsonMapper.shared().readTree("[" + json + "]")).get(0);
    }

    @Test
    void parsesTheOutputOfIp() {
        RoutingRule own = rule(
                "{'priority':119,'src':'all','fwmark':'0x1000','fwmask':'0x1000','table':'19019'}".replace('\'', '"'));
        assertThat(own)
                .isEqualTo(new RoutingRule(
                        119, 0x1000, 0x1000, "19019", "119: src all fwmark 0x1000 fwmask 0x1000 table 19019"));
        assertThat(own.matchesOnly(0x1000)).isTrue();
        assertThat(own.matchesOnly(0x2000)).isFalse();
        assertThat(PolicyRouting.isOwn(own, RuleOptions.DEFAULT)).isTrue();
    }

    @Test
    void dependsOnABitOfAMarkOrMask() {
        RoutingRule whole = rule("{\"priority\":5210,\"src\":\"all\",\"fwmark\":\"0x80001000\",\"table\":\"52\"}");
        assertThat(whole.dependsOn(0x1000)).isTrue();
        assertThat(whole.dependsOn(1L << 31)).isTrue();
        assertThat(whole.dependsOn(0x2000)).isFalse();
        assertThat(whole.matchesOnly(0x1000)).isFalse();
        RoutingRule masked =
                rule("{\"priority\":5,\"src\":\"all\",\"fwmark\":\"0\",\"fwmask\":\"0x3000\",\"table\":\"52\"}");
        assertThat(masked.dependsOn(0x2000)).isTrue();
        assertThat(masked.dependsOn(0x4000)).isFalse();
    }

    @Test
    void parsesARuleWithoutMarkAndTable() {
        RoutingRule plain =
                rule("{\"priority\":32767,\"src\":\"198.18.0.0\",\"srclen\":15,\"action\":\"unreachable\"}");
        assertThat(plain)
                .isEqualTo(new RoutingRule(32_767, 0, 0, "", "32767: src 198.18.0.0 srclen 15 action unreachable"));
        assertThat(plain.matchesMark()).isFalse();
    }
}
