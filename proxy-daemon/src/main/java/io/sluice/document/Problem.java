package io.sluice.document;

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

    /** Longer than what anybody writes by hand, and short enough for a log. */
    private static final int MAX_TEXT = 1000;

    /** Enough to find the value again. */
    private static final int MAX_QUOTED = 60;

    public Problem {
        object = oneLine(object);
        field = oneLine(field);
        message = oneLine(message);
    }

    /** A text from outside as a part of one line: what would break or falsify the line is shown as {@code \\u000A}. */
    public static String oneLine(String text) {
        StringBuilder line = new StringBuilder(Math.min(text.length(), MAX_TEXT));
        int at = 0;
        while (at < text.length() && line.length() < MAX_TEXT) {
            int c = text.codePointAt(at);
            at += Character.charCount(c);
            switch (Character.getType(c)) {
                case Character.CONTROL,
                        Character.FORMAT,
                        Character.LINE_SEPARATOR,
                        Character.PARAGRAPH_SEPARATOR,
                        Character.SURROGATE -> line.append("\\u%04X".formatted(c));
                default -> line.appendCodePoint(c);
            }
        }
        return at < text.length() ? line.append("...").toString() : line.toString();
    }

    /** A value as messages show it: in single quotes, cut where it gets long. */
    public static String quoted(String value) {
        return "'" + shortened(value) + "'";
    }

    static String shortened(String value) {
        return value.length() <= MAX_QUOTED ? value : value.substring(0, MAX_QUOTED) + "...";
    }

    /** What is before the message: {@code web.yaml: Service default/web: spec.ports[0].port}. */
    String place() {
        StringBuilder line = new StringBuilder(oneLine(source));
        if (!object.isEmpty()) {
            line.append(": ").append(object);
        }
        if (!field.isEmpty()) {
            line.append(": ").append(field);
        }
        return line.toString();
    }

    /** One line: {@code web.yaml: Service default/web: spec.ports[0].port: 70000 is not in 1..65535}. */
    @Override
    public String toString() {
        return place() + ": " + message;
    }
}
