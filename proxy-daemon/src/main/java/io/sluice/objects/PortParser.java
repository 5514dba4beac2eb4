package io.sluice.objects;

import io.sluice.document.FieldReader;
import io.sluice.model.Protocol;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** Parses the common fields of Service and endpoint ports: number, name and protocol. */
final class PortParser {
    private PortParser() {}

    /** Parses a port of a Service. Reports a port that is invalid or has an unsupported protocol, and returns null. */
    static @Nullable NamedPort parse(FieldReader port) {
        return parse(port, protocol(port.get("protocol")));
    }

    /** Parses a port of an EndpointSlice or Endpoints object. Skips SCTP ports; the Service reports them. */
    static @Nullable NamedPort parseEndpointPort(FieldReader port) {
        FieldReader protocol = port.get("protocol");
        boolean sctp = protocol.isString() && protocol.string("").equals("SCTP");
        return parse(port, sctp ? null : protocol(protocol));
    }

    private static @Nullable NamedPort parse(FieldReader port, @Nullable Protocol protocol) {
        int number = port.get("port").required(1, 65_535);
        String name = port.get("name").optionalName();
        // Equal names share one instance, because most ports of a cluster have one of a few names.
        return number == 0 || protocol == null || name == null ? null : new NamedPort(name.intern(), protocol, number);
    }

    private static @Nullable Protocol protocol(FieldReader field) {
        if (field.present() && !field.isString()) {
            field.error(field.quoted() + " is not TCP or UDP");
            return null;
        }
        String text = field.string("TCP");
        return switch (text) {
            case "TCP", "" -> Protocol.TCP;
            case "UDP" -> Protocol.UDP;
            case "SCTP" -> {
                field.error("SCTP is not supported, so this port is not served; must be TCP or UDP");
                yield null;
            }
            default -> {
                String upper = text.toUpperCase(Locale.ROOT);
                boolean almost = upper.equals("TCP") || upper.equals("UDP");
                field.error(field.quoted() + " is not TCP or UDP" + (almost ? "; use uppercase" : ""));
                yield null;
            }
        };
    }
}
