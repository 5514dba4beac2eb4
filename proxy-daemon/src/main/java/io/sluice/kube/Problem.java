package io.sluice.kube;

/**
 * One thing in the feed that keeps something from working, or that its author should know.
 *
 * @param source the file, or the server, it was read from
 * @param object kind and namespace/name, or empty where the file as a whole is meant
 * @param field path of the field, such as {@code spec.ports[0].port}, or empty
 * @param message what is wrong and what is allowed
 */
public record Problem(Severity severity, String source, String object, String field, String message) {
    public enum Severity {
        /** Something is not served because of it. */
        ERROR,
        WARNING,
        NOTE
    }

    /** One line: {@code web.yaml: Service default/web: spec.ports[0].port: 70000 is not in 1..65535}. */
    @Override
    public String toString() {
        StringBuilder line = new StringBuilder(source);
        if (!object.isEmpty()) {
            line.append(": ").append(object);
        }
        if (!field.isEmpty()) {
            line.append(": ").append(field);
        }
        return line.append(": ").append(message).toString();
    }
}
