package io.sluice.document;

import java.io.IOException;
import java.io.Reader;

/**
 * Splits text into documents at lines that begin with {@code ---}, so that an invalid document does not affect the
 * others.
 *
 * <p>Such a line always ends a document: YAML does not allow it inside a value (YAML 1.2.2, section 9.1.1), and JSON
 * strings cannot contain line breaks. The only exception is the line that ends directives ({@code %YAML}), which
 * belongs to the same document.
 */
public final class YamlDocuments extends Reader {
    /** Start of a line that separates documents. */
    public static final String MARKER = "---";

    private final Reader text;
    private final char[] buffer = new char[8192];
    private int position;
    private int limit;
    private boolean textEnded;

    /** Number of line breaks before {@link #position}; {@link #characters} counts characters. */
    private int lines;

    private long characters;
    private boolean atLineStart = true;

    /** Whether any character of the current document has been read. */
    private boolean hasContent;

    /** Whether the current document has only directives, comments and blank lines so far. */
    private boolean onlyDirectives;

    private boolean hasDirective;
    private boolean documentEnded = true;
    private int firstLine;
    private long firstCharacter;

    /** Creates a reader that is positioned before the first document. */
    public YamlDocuments(Reader text) {
        this.text = text;
    }

    /** Skips the rest of the current document and moves to the next one. Returns false if no document follows. */
    public boolean next() throws IOException {
        char[] rest = new char[512];
        while (!documentEnded) {
            read(rest, 0, rest.length);
        }
        if (!has(1)) {
            return false;
        }
        documentEnded = false;
        hasContent = false;
        onlyDirectives = true;
        hasDirective = false;
        firstLine = lines;
        firstCharacter = characters;
        return true;
    }

    /** Number of lines before the current document. */
    public int linesBefore() {
        return firstLine;
    }

    /** Number of characters before the current document. */
    public long charactersBefore() {
        return firstCharacter;
    }

    /** Reads from the current document. Returns -1 at its end. */
    @Override
    public int read(char[] target, int offset, int length) throws IOException {
        int count = 0;
        while (count < length && !documentEnded) {
            if (!has(1) || (atLineStart && isEndOfDocument())) {
                documentEnded = true;
                break;
            }
            int end = endOfLine(Math.min(limit, position + length - count));
            System.arraycopy(buffer, position, target, offset + count, end - position);
            count += end - position;
            atLineStart = buffer[end - 1] == '\n';
            lines += atLineStart ? 1 : 0;
            characters += end - position;
            position = end;
            hasContent = true;
        }
        return count == 0 && length > 0 ? -1 : count;
    }

    /** Whether the line at {@link #position} separates the current document from the next one. */
    private boolean isEndOfDocument() throws IOException {
        boolean marker = isMarkerLine();
        if (marker && hasContent && !(onlyDirectives && hasDirective)) {
            return true;
        }
        char first = has(1) ? buffer[position] : '\n';
        hasDirective |= first == '%';
        onlyDirectives &= first == '%' || first == '#' || first == '\n' || first == '\r' || first == '\uFEFF';
        return false;
    }

    private boolean isMarkerLine() throws IOException {
        boolean more = has(MARKER.length() + 1);
        if (limit - position < MARKER.length()) {
            return false;
        }
        for (int i = 0; i < MARKER.length(); i++) {
            if (buffer[position + i] != MARKER.charAt(i)) {
                return false;
            }
        }
        return !more || " \t\r\n".indexOf(buffer[position + MARKER.length()]) >= 0;
    }

    private int endOfLine(int before) {
        for (int i = position; i < before; i++) {
            if (buffer[i] == '\n') {
                return i + 1;
            }
        }
        return before;
    }

    /** Reads ahead until the buffer contains the given number of characters. Returns false if fewer are left. */
    private boolean has(int wanted) throws IOException {
        while (limit - position < wanted && !textEnded) {
            System.arraycopy(buffer, position, buffer, 0, limit - position);
            limit -= position;
            position = 0;
            int read = text.read(buffer, limit, buffer.length - limit);
            textEnded = read < 0;
            limit += Math.max(0, read);
        }
        return limit - position >= wanted;
    }

    /** Does nothing: the parser of each document closes this reader, but the text may contain more documents. */
    @Override
    public void close() {}
}
