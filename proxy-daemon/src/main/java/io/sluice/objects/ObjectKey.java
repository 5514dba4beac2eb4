package io.sluice.objects;

/** The identity of an object: kind, namespace and name. Formatted as {@code Service default/web} or {@code Node a}. */
public record ObjectKey(Kind kind, String namespace, String name) {
    @Override
    public String toString() {
        return kind.text() + " " + (namespace.isEmpty() ? "" : namespace + "/") + name;
    }
}
