package io.sluice.objects;

import io.sluice.model.Protocol;

/**
 * A port of a Service or of its endpoints. Service ports and endpoint ports are matched by name and protocol, never by
 * number.
 */
public record NamedPort(String name, Protocol protocol, int port) {
    /** Whether the two ports have the same name and protocol. */
    public boolean matches(NamedPort other) {
        return protocol == other.protocol && name.equals(other.name);
    }
}
