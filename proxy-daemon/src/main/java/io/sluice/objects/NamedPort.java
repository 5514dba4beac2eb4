package io.sluice.objects;

import io.sluice.model.Protocol;

/** A port of a Service or of its endpoints; the two are joined by name and protocol, never by number. */
public record NamedPort(String name, Protocol protocol, int port) {
    public boolean joins(NamedPort other) {
        return protocol == other.protocol && name.equals(other.name);
    }
}
