package io.sluice.node;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Tests the template {@code sluice.nft} for every combination of kernel features. */
final class NftScriptTest {
    private static final Pattern CHAIN = Pattern.compile("^ *chain ([a-z-]+) \\{", Pattern.MULTILINE);
    private static final Pattern TARGET = Pattern.compile("\\b(?:goto|jump) ([a-z-]+)");
    private static final Pattern SET = Pattern.compile("^ *(?:set|map) ([a-z0-9-]+) \\{", Pattern.MULTILINE);
    private static final Pattern REFERENCE = Pattern.compile("@(?!nh,)([a-z0-9-]+)");

    private static Set<String> all(Pattern pattern, String text) {
        return pattern.matcher(text).results().map(found -> found.group(1)).collect(Collectors.toSet());
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 3, 4, 5, 6, 7})
    void replacesEveryPlaceholderAndDefinesEveryChainAndSet(int features) {
        KernelFeatures kernel = new KernelFeatures((features & 1) > 0, (features & 2) > 0, (features & 4) > 0);
        String script = NftScript.table(RuleOptions.DEFAULT, kernel) + NftScript.bridgePrerouting(RuleOptions.DEFAULT);
        String rules = script.replaceAll("(?m)^ *#.*$", "");
        String changes = NftScript.REJECT_NEW + NftScript.DROP_NEW + NftScript.releaseNew(RuleOptions.DEFAULT);
        assertThat(rules).doesNotContain("${").doesNotContain("}$");
        assertThat(all(CHAIN, rules)).hasSizeGreaterThan(20).containsAll(all(TARGET, rules + changes));
        assertThat(all(SET, rules)).hasSizeGreaterThan(20).containsAll(all(REFERENCE, rules + changes));
        assertThat(rules)
                .contains("meta mark set meta mark or 0x1000 " + (kernel.tracksConnections() ? "" : "notrack ")
                        + "accept");
    }

    /** A reply of a NodePort has the right source address only while the kernel has an element for the flow. */
    @Test
    void usesTheFlowTimeoutsOfTheForwarder() {
        RuleOptions options = new RuleOptions(12, 19_019, 119, false, 45, 3_600);
        String rules = NftScript.table(options, new KernelFeatures(true, true, true));
        assertThat(rules)
                .contains("update @used-node-port-address4 { ip saddr . udp sport . udp dport timeout 45s : ip daddr }")
                .contains(
                        "map used-node-port-address4 { typeof ip saddr . udp sport . udp dport : ip daddr; flags dynamic,timeout;"
                                + " size 131072; timeout 3600s; }")
                .doesNotContain("timeout 30s")
                .doesNotContain("timeout 120s");
    }
}
