package io.sluice.objects;

import io.sluice.document.FieldReader;
import io.sluice.model.Protocol;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** Reads what ports of Services and of endpoints have in common: number, name and protocol. */
final class PortParser {
    private PortParser() {}

    /** A port with a name; null if there is something wrong with it or its protocol is not forwarded, and then it is reported. */
    static @Nullable NamedPort parse(FieldReader port) {
        return parse(port, protocol(port.get("protocol")));
    }

    /** The same, but an SCTP port is not reported: it was, at the Service that has it. */
    static @Nullable NamedPort parseOfEndpoints(FieldReader port) {
        FieldReader protocol = port.get("protocol");
        boolean sctp = protocol.isText() && protocol.text("").equals("SCTP");
        return parse(port, sctp ? null : protocol(protocol));
    }

    private static @Nullable NamedPort parse(FieldReader port, @Nullable Protocol protocol) {
        int number = port.get("port").required(1, 65_535);
        String name = port.get("name").optionalName();
        // Most ports of a cluster share a few names.
        return number == 0 || protocol == null || name == null ? null : new NamedPort(name.intern(), protocol, number);
    }

    private static @Nullable Protocol protocol(FieldReader field) {
        if (field.present() && !field.isText()) {
            field.error(field.quoted() + " is not TCP or UDP");
            return null;
        }
        String text = field.text("TCP");
        return switch (text) {
            case "TCP", "" -> Protocol.TCP;
            case "UDP" -> Protocol.UDP;
            case "SCTP" -> {
                field.error("SCTP is not forwarded; TCP and UDP are");
                yield null;
            }
            default -> {
                String upper = text.toUpperCase(Locale.ROOT);
                boolean almost = upper.equals("TCP") || upper.equals("UDP");
                field.error(field.quoted() + " is not TCP or UDP" + (almost ? "; write it in capitals" : ""));
                yield null;
            }
        };
    }
}
