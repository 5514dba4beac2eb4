package io.sluice.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sluice.node.SetElements.Element;
import java.io.IOException;
import org.junit.jupiter.api.Test;

final class SetElementsTest {
    private static final String SET = """
            {"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}}, {"set": {"family": "inet", \
            "name": "flow4", "table": "sluice", "type": ["ipv4_addr", "inet_service", "ipv4_addr", "inet_service"], \
            "handle": 4, "size": 131072, "flags": ["timeout"], "timeout": 120ELEMENTS}}]}
            """;

    @Test
    void parsesTheKeysOfAListedSet() throws IOException {
        String elements = """
                , "elem": [{"elem": {"val": {"concat": ["198.18.0.1", 53, "198.18.0.2", 77]}, "expires": 119}}, \
                {"elem": {"val": {"concat": ["2001:db8::1", 53, "2001:db8::2", 77]}, "timeout": 30, "expires": 9}}]\
                """;
        assertThat(SetElements.parseElements("flow4", SET.replace("ELEMENTS", elements)))
                .containsExactly(
                        new Element("flow4", "198.18.0.1 . 53 . 198.18.0.2 . 77", ""),
                        new Element("flow4", "2001:db8::1 . 53 . 2001:db8::2 . 77", ""));
        assertThat(SetElements.parseElements("flow4", SET.replace("ELEMENTS", "")))
                .isEmpty();
    }

    @Test
    void parsesTheValuesOfAListedMap() throws IOException {
        String elements = """
                , "elem": [[{"elem": {"val": {"concat": ["198.18.0.1", 5000, 30080]}, "timeout": 120, "expires": 9}}, \
                "198.18.0.9"], [{"concat": ["198.18.0.2", 5000, 30080]}, "198.18.0.8"]]\
                """;
        assertThat(SetElements.parseElements("used-node-port-address4", SET.replace("ELEMENTS", elements)))
                .containsExactly(
                        new Element("used-node-port-address4", "198.18.0.1 . 5000 . 30080", "198.18.0.9"),
                        new Element("used-node-port-address4", "198.18.0.2 . 5000 . 30080", "198.18.0.8"));
    }

    @Test
    void failsOnInvalidJson() {
        assertThatThrownBy(() -> SetElements.parseElements("flow4", "Error: syntax error"))
                .isInstanceOf(IOException.class)
                .hasMessageStartingWith("nft -j list set: invalid JSON: ");
    }
}
