package io.sluice.node;

import io.sluice.node.Elements.Element;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * Connections that outlive their frontend. Those of the node's own processes need the kernel's rules to reach us, and are
 * told one by one: the address may be served elsewhere from now on, and new connections go there.
 */
final class Late {
    private Late() {}

    /** The frontends, among elements that go, which may have such connections: as they stand in the sets. */
    static Set<String> frontends(Iterable<Element> gone) {
        Set<String> keys = new HashSet<>();
        for (Element element : gone) {
            if (element.set().startsWith("front") && element.key().contains(" . tcp . ")) {
                keys.add(element.key());
            }
        }
        return keys;
    }

    /** @param sockets as {@code ss -Htn} lists them: state, two queues, our address, the client's */
    static List<Element> elements(Set<String> frontends, String sockets) {
        List<Element> late = new ArrayList<>();
        sockets.lines().map(line -> line.strip().split("\\s+")).forEach(words -> {
            if (words.length >= 5) {
                String[] own = addressAndPort(words[3]);
                if (frontends.contains(own[0] + " . tcp . " + own[1])) {
                    String[] client = addressAndPort(words[4]);
                    late.add(new Element(
                            "late" + (own[0].contains(":") ? "6" : "4"),
                            client[0] + " . " + client[1] + " . " + own[0] + " . " + own[1],
                            ""));
                }
            }
        });
        return late;
    }

    /** Of {@code 10.96.0.10:80} or {@code [fd00::10]:80}. */
    private static String[] addressAndPort(String text) {
        int colon = text.lastIndexOf(':');
        if (colon < 0) {
            return new String[] {text, ""};
        }
        String address = text.substring(0, colon).replace("[", "").replace("]", "");
        return new String[] {address, text.substring(colon + 1)};
    }
}
