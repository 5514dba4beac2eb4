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
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.StringJoiner;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.databind.json.JsonMapper;

/** Translates service ports into elements of the table's sets and maps, and parses elements that nft lists. */
final class SetElements {
    private SetElements() {}

    /**
     * One element of a set or map.
     *
     * @param value the value in a map; empty in a set
     */
    record Element(String set, String key, String value) {
        String text() {
            return value.isEmpty() ? key : key + " : " + value;
        }
    }

    /**
     * Returns the elements of a service port.
     *
     * @param flippedPortBits the bits in which a TCP listener's port differs from its frontend's port; 0 if the ports
     *     are equal
     */
    static Set<Element> of(ServicePort port, int flippedPortBits) {
        Set<Element> elements = new LinkedHashSet<>();
        // Established flows continue if the service port has endpoints for them.
        boolean flows = port.name().protocol() == Protocol.UDP
                && !port.servingEndpoints().isEmpty();
        for (Frontend frontend : port.frontends()) {
            Collection<Cidr> sources = sources(port, frontend);
            FrontendAddress address = frontend.address();
            String family = family(address.address());
            if (address.address().isUnspecified()) {
                elements.addAll(nodePort(frontend, flows, sources));
                continue;
            }
            String key = key(address.address(), address.protocol().text(), address.port());
            elements.add(new Element("frontend" + family, key, ""));
            if (flippedPortBits != 0 && address.protocol() == Protocol.TCP) {
                String listener = key(address.address(), "tcp", address.listeningPort(flippedPortBits));
                elements.add(new Element("listener" + family, listener, ""));
            }
            elements.add(new Element("from-pod" + family, key, verdict(frontend.pod(), flows)));
            elements.add(new Element("from-node" + family, key, verdict(frontend.node(), flows)));
            elements.add(new Element("from-external" + family, key, verdict(frontend.external(), flows)));
            if (!sources.isEmpty()) {
                elements.add(new Element("source-checked" + family, key, ""));
                for (Cidr range : sources) {
                    elements.add(new Element("source-range" + family, key + " . " + range, ""));
                }
            }
        }
        return elements;
    }

    /** Returns the elements of a NodePort that is served on the local addresses in {@code node-port-address}. */
    private static List<Element> nodePort(Frontend frontend, boolean flows, Collection<Cidr> sources) {
        FrontendAddress address = frontend.address();
        String family = family(address.address());
        String port = address.protocol().text() + " . " + address.port();
        String key = "ipv" + family + " . " + port;
        List<Element> elements = new ArrayList<>(List.of(
                new Element("node-port", key, ""),
                new Element("node-port-from-pod", key, verdict(frontend.pod(), flows)),
                new Element("node-port-from-node", key, verdict(frontend.node(), flows)),
                new Element("node-port-from-external", key, verdict(frontend.external(), flows))));
        if (!sources.isEmpty()) {
            elements.add(new Element("source-checked-node-port", key, ""));
            for (Cidr range : sources) {
                elements.add(new Element("node-port-source-range" + family, port + " . " + range, ""));
            }
        }
        return elements;
    }

    /**
     * Returns the ranges from which packets to a frontend are accepted; none if all are. They include the peers whose
     * PROXY protocol headers are believed, because the forwarder checks the address in the header.
     */
    private static Collection<Cidr> sources(ServicePort port, Frontend frontend) {
        if (frontend.allowedSources().isEmpty()) {
            return List.of();
        }
        Family family = frontend.address().address().family();
        List<Cidr> sources = new ArrayList<>(frontend.allowedSources());
        sources.addAll(port.policy().proxyProtocol().acceptFrom());
        sources.removeIf(range -> range.network().family() != family);
        return withoutNested(sources);
    }

    static String key(IpAddress address, String protocol, int port) {
        return address + " . " + protocol + " . " + port;
    }

    /**
     * Parses the elements of a set or map whose keys are concatenations. There may be more than 100,000 elements, so no
     * JSON tree is built.
     *
     * @param listed the output of {@code nft -j list set} or {@code nft -j list map}
     * @throws IOException if the output is not JSON
     */
    static List<Element> parseElements(String set, String listed) throws IOException {
        List<Element> elements = new ArrayList<>();
        try (JsonParser json = JsonMapper.shared().createParser(listed)) {
            for (JsonToken token = json.nextToken(); token != null; token = json.nextToken()) {
                if (token == JsonToken.START_ARRAY && "concat".equals(json.currentName())) {
                    StringJoiner key = new StringJoiner(" . ");
                    while (json.nextToken() != JsonToken.END_ARRAY) {
                        String part = json.getString();
                        // nft prints unsigned 64-bit values as signed.
                        key.add(part.startsWith("-") ? Long.toUnsignedString(Long.parseLong(part)) : part);
                    }
                    elements.add(new Element(set, key.toString(), ""));
                } else if (token == JsonToken.VALUE_STRING && json.currentName() == null && !elements.isEmpty()) {
                    // In a map, the value follows its key in an array.
                    Element last = elements.remove(elements.size() - 1);
                    elements.add(new Element(set, last.key(), json.getString()));
                }
            }
        } catch (JacksonException e) {
            throw new IOException("nft -j list set: invalid JSON: " + e.getOriginalMessage(), e);
        }
        return elements;
    }

    /** Returns the digit at the end of set names that stands for the family. */
    static String family(IpAddress address) {
        return address.family() == Family.IPV6 ? "6" : "4";
    }

    /** Returns the ranges that are not nested in others, because the kernel does not accept overlapping ranges. */
    private static Collection<Cidr> withoutNested(List<Cidr> ranges) {
        List<Cidr> sorted = new ArrayList<>(ranges);
        sorted.sort(Comparator.comparing(Cidr::network).thenComparingInt(Cidr::prefix));
        List<Cidr> kept = new ArrayList<>();
        for (Cidr range : sorted) {
            // Two ranges are either nested or disjoint, so a range can only be nested in the last one before it.
            if (kept.isEmpty() || !kept.get(kept.size() - 1).covers(range)) {
                kept.add(range);
            }
        }
        return kept;
    }

    private static String verdict(Route route, boolean flows) {
        return switch (route.verdict()) {
            case FORWARD, HOLD -> "goto new-traffic";
            case REJECT -> flows ? "goto reject-new" : "goto reject-packet";
            // Leaves the packet to the process on this node that listens on the address.
            case PASS -> "accept";
            case DROP -> flows ? "goto drop-new" : "drop";
        };
    }
}
