package io.sluice.node;

import io.sluice.model.Cidr;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import java.util.LinkedHashSet;
import java.util.Set;

/** What the sets and maps of the table hold for one service port. */
final class Elements {
    private Elements() {}

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

    static Set<Element> of(ServicePort port) {
        Set<Element> elements = new LinkedHashSet<>();
        for (Frontend frontend : port.frontends()) {
            FrontendAddress address = frontend.address();
            String family = family(address.address());
            String key = address.address() + " . " + address.protocol().text() + " . " + address.port();
            elements.add(new Element("front" + family, key, ""));
            elements.add(new Element("pod" + family, key, verdict(frontend.pod())));
            elements.add(new Element("node" + family, key, verdict(frontend.node())));
            elements.add(new Element("outside" + family, key, verdict(frontend.outside())));
            if (!frontend.allowedSources().isEmpty()) {
                elements.add(new Element("limited" + family, key, ""));
                for (Cidr range : frontend.allowedSources()) {
                    elements.add(new Element("admitted" + family, key + " . " + range, ""));
                }
            }
        }
        return elements;
    }

    /** What the names of sets end in. */
    static String family(IpAddress address) {
        return address.v6() ? "6" : "4";
    }

    private static String verdict(Route route) {
        return switch (route.verdict()) {
            case FORWARD -> "goto admit";
            case REFUSE -> "goto refuse";
            case DROP -> "goto discard";
        };
    }
}
