package io.sluice.objects;

/** What makes two objects the same object. Prints as {@code Service default/web}, or {@code Node a}. */
public record ObjectKey(Kind kind, String namespace, String name) {
    @Override
    public String toString() {
        return kind.text() + " " + (namespace.isEmpty() ? "" : namespace + "/") + name;
    }
}
