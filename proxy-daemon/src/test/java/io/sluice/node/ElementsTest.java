package io.sluice.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import org.junit.jupiter.api.Test;

final class ElementsTest {
    private static final String SET = """
            {"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}}, {"set": {"family": "inet", \
            "name": "flow4", "table": "sluice", "type": ["ipv4_addr", "inet_service", "ipv4_addr", "inet_service"], \
            "handle": 4, "size": 131072, "flags": ["timeout"], "timeout": 120ELEMENTS}}]}
            """;

    @Test
    void theKeysOfAListedSetAreThoseThatMakeIt() throws IOException {
        String elements = """
                , "elem": [{"elem": {"val": {"concat": ["198.18.0.1", 53, "198.18.0.2", 77]}, "expires": 119}}, \
                {"elem": {"val": {"concat": ["2001:db8::1", 53, "2001:db8::2", 77]}, "timeout": 30, "expires": 9}}]\
                """;
        assertThat(Elements.concatenations(SET.replace("ELEMENTS", elements)))
                .containsExactly("198.18.0.1 . 53 . 198.18.0.2 . 77", "2001:db8::1 . 53 . 2001:db8::2 . 77");
        assertThat(Elements.concatenations(SET.replace("ELEMENTS", ""))).isEmpty();
    }

    @Test
    void whatIsNoJsonIsAnError() {
        assertThatThrownBy(() -> Elements.concatenations("Error: syntax error"))
                .isInstanceOf(IOException.class)
                .hasMessageStartingWith("nft -j list set: no JSON: ");
    }
}
