package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.document.Problem.Severity;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * Rewrites the addresses and ports in a string so that it can be tested without privileges: the first byte of every
 * IPv4 address becomes 127, and ports below 10,000 increase by 20,000, where usually no process listens. IPv6 addresses
 * do not change.
 */
final class LoopbackRewriter {
    private static final Pattern ADDRESS =
            Pattern.compile("(?<![\\d.])(?!0+\\.|127\\.)(\\d{1,3})((?:\\.\\d{1,3}){3})(?![\\d.])");
    private static final Pattern PORT_OF_MANIFEST = Pattern.compile("(?<=\\bport\"?: ?)([1-9]\\d{0,3})(?![\\d.])");
    private static final Pattern PORT_OF_TABLE = Pattern.compile("(?<=[\\d\\]]:)([1-9]\\d{0,3})(?=[/ ,]|$)");

    private final Map<String, String> moved = new HashMap<>();

    String addresses(String text) {
        return ADDRESS.matcher(text).replaceAll(this::moved);
    }

    private String moved(MatchResult address) {
        String to = "127" + address.group(2);
        assertThat(moved.merge(to, address.group(), (before, now) -> before))
                .as("only one address may become " + to)
                .isEqualTo(address.group());
        return to;
    }

    String manifest(String text) {
        return PORT_OF_MANIFEST.matcher(addresses(text)).replaceAll(LoopbackRewriter::movedPort);
    }

    /** Rewrites a table, without the problems below it, which quote the original input. */
    String table(String text) {
        return addresses(text)
                .lines()
                .filter(line -> Arrays.stream(Severity.values()).noneMatch(severity -> line.startsWith(severity + " ")))
                .map(line -> PORT_OF_TABLE.matcher(line).replaceAll(LoopbackRewriter::movedPort))
                .collect(Collectors.joining("\n"));
    }

    private static String movedPort(MatchResult port) {
        return String.valueOf(Integer.parseInt(port.group()) + 20_000);
    }
}
