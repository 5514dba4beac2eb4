package io.sluice.document;

/**
 * An error, warning or note about the feed, a configuration file or a kubeconfig.
 *
 * @param source file or server that the object was read from
 * @param object kind and namespace/name, or empty for the whole file
 * @param field path of the field, such as {@code spec.ports[0].port}, or empty
 * @param message what is wrong and which values are valid
 */
public record Problem(Severity severity, String source, String object, String field, String message) {
    /** How serious a problem is. */
    public enum Severity {
        /** A part of the input is not used. */
        ERROR,
        WARNING,
        NOTE
    }

    /** Maximum length of a line; longer than any message with realistic input. */
    private static final int MAX_TEXT = 1000;

    /** Maximum length of a quoted value; enough to recognize it. */
    private static final int MAX_QUOTED = 60;

    /** Escapes control characters in the parts. */
    public Problem {
        object = oneLine(object);
        field = oneLine(field);
        message = oneLine(message);
    }

    /**
     * Makes untrusted text safe for one line: replaces line breaks, control characters and format characters with
     * escapes such as {@code \\u000A}, and shortens long text.
     */
    public static String oneLine(String text) {
        return escaped(text, MAX_TEXT);
    }

    /** Does the same as {@link #oneLine}, but does not shorten the text. */
    public static String escaped(String text) {
        return escaped(text, Integer.MAX_VALUE);
    }

    private static String escaped(String text, int maxLength) {
        StringBuilder line = new StringBuilder(Math.min(text.length(), maxLength));
        int at = 0;
        while (at < text.length() && line.length() < maxLength) {
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

    /** Formats a value for a message: puts it in single quotes and shortens a long value. */
    public static String quoted(String value) {
        return "'" + shortened(value) + "'";
    }

    static String shortened(String value) {
        return value.length() <= MAX_QUOTED ? value : value.substring(0, MAX_QUOTED) + "...";
    }

    /** The prefix of the message, such as {@code web.yaml: Service default/web: spec.ports[0].port}. */
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

    /**
     * Returns one line, such as {@code web.yaml: Service default/web: spec.ports[0].port: 70000 is not in 1..65535}.
     */
    @Override
    public String toString() {
        return place() + ": " + message;
    }
}
