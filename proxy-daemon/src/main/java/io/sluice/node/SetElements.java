package io.sluice.node;

import io.sluice.model.Cidr;
import io.sluice.model.Family;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.StringJoiner;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.databind.json.JsonMapper;

/** What the sets and maps of the table hold for one service port. */
final class SetElements {
    private SetElements() {}

    /**
     * One element of a set or map.
     *
     * @param value empty in a set
     */
    record Element(String set, String key, String value) {
        String text() {
            return value.isEmpty() ? key : key + " : " + value;
        }
    }

    /** @param flippedPortBits what is other in the port that a listener has for connections; 0 if nothing is */
    static Set<Element> of(ServicePort port, int flippedPortBits) {
        Set<Element> elements = new LinkedHashSet<>();
        for (Frontend frontend : port.frontends()) {
            FrontendAddress address = frontend.address();
            String family = family(address.address());
            if (address.address().isUnspecified()) {
                elements.addAll(nodePort(frontend, !port.flowEndpoints().isEmpty()));
                continue;
            }
            String key = key(address.address(), address.protocol().text(), address.port());
            elements.add(new Element("front" + family, key, ""));
            if (flippedPortBits != 0 && address.protocol() == Protocol.TCP) {
                String listener = key(address.address(), "tcp", address.listeningPort(flippedPortBits));
                elements.add(new Element("listener" + family, listener, ""));
            }
            // Flows that were let in before may go on, where there is somewhere to go on to.
            boolean flows = !port.flowEndpoints().isEmpty();
            elements.add(new Element("pod" + family, key, verdict(frontend.pod(), flows)));
            elements.add(new Element("node" + family, key, verdict(frontend.node(), flows)));
            elements.add(new Element("outside" + family, key, verdict(frontend.external(), flows)));
            if (!frontend.allowedSources().isEmpty()) {
                elements.add(new Element("limited" + family, key, ""));
                for (Cidr range : apart(frontend.allowedSources())) {
                    elements.add(new Element("admitted" + family, key + " . " + range, ""));
                }
            }
        }
        return elements;
    }

    /** A node port on all local addresses in certain ranges. */
    private static List<Element> nodePort(Frontend frontend, boolean flows) {
        FrontendAddress address = frontend.address();
        String key =
                "ipv" + family(address.address()) + " . " + address.protocol().text() + " . " + address.port();
        return List.of(
                new Element("node-port", key, ""),
                new Element("pod-node-port", key, verdict(frontend.pod(), flows)),
                new Element("node-node-port", key, verdict(frontend.node(), flows)),
                new Element("outside-node-port", key, verdict(frontend.external(), flows)));
    }

    static String key(IpAddress address, String protocol, int port) {
        return address + " . " + protocol + " . " + port;
    }

    /**
     * The elements of a listed set or map whose keys have several parts. There may be more than 100,000, so no tree is made
     * of them.
     *
     * @param listed what {@code nft -j list set} or {@code list map} wrote
     * @throws IOException if it is not JSON
     */
    static List<Element> concatenations(String set, String listed) throws IOException {
        List<Element> elements = new ArrayList<>();
        try (JsonParser json = JsonMapper.shared().createParser(listed)) {
            for (JsonToken token = json.nextToken(); token != null; token = json.nextToken()) {
                if (token == JsonToken.START_ARRAY && "concat".equals(json.currentName())) {
                    StringJoiner key = new StringJoiner(" . ");
                    while (json.nextToken() != JsonToken.END_ARRAY) {
                        String part = json.getString();
                        // 64 bits without a sign, printed with one.
                        key.add(part.startsWith("-") ? Long.toUnsignedString(Long.parseLong(part)) : part);
                    }
                    elements.add(new Element(set, key.toString(), ""));
                } else if (token == JsonToken.VALUE_STRING && json.currentName() == null && !elements.isEmpty()) {
                    // The value in a map, an array of both.
                    Element last = elements.remove(elements.size() - 1);
                    elements.add(new Element(set, last.key(), json.getString()));
                }
            }
        } catch (JacksonException e) {
            throw new IOException("nft -j list set: no JSON: " + e.getOriginalMessage(), e);
        }
        return elements;
    }

    /** What the names of sets end in. */
    static String family(IpAddress address) {
        return address.family() == Family.IPV6 ? "6" : "4";
    }

    /** Without those that lie in another one: the kernel takes no ranges that overlap. */
    private static Collection<Cidr> apart(List<Cidr> ranges) {
        Set<Cidr> apart = new LinkedHashSet<>(ranges);
        apart.removeIf(range ->
                ranges.stream().anyMatch(other -> other.prefix() < range.prefix() && other.contains(range.network())));
        return apart;
    }

    private static String verdict(Route route, boolean flows) {
        return switch (route.verdict()) {
            case FORWARD -> "goto new-traffic";
            case REJECT -> flows ? "goto reject-new" : "goto reject-packet";
            // To the process of the node that listens there.
            case PASS -> "accept";
            case DROP -> flows ? "goto drop-new" : "drop";
        };
    }
}
