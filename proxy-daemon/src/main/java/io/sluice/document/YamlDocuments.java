package io.sluice.document;

import java.io.IOException;
import java.io.Reader;

/**
 * A text as the documents it consists of, one after the other: what lies between two lines that begin with {@code ---}.
 * A document that cannot be parsed so leaves the others alone.
 *
 * <p>Such a line ends a document wherever it stands: YAML forbids it inside of anything (YAML 1.2.2, section 9.1.1), and
 * in JSON no text goes over several lines. Only after directives ({@code %YAML}) does it belong to what comes before.
 */
public final class YamlDocuments extends Reader {
    public static final String MARKER = "---";

    private final Reader text;
    private final char[] buffer = new char[8192];
    private int position;
    private int limit;
    private boolean textEnded;

    /** How many line breaks and characters lie before {@link #position}. */
    private int lines;

    private long characters;
    private boolean atLineStart = true;

    /** Whether anything of the document has been read, and nothing but directives, comments and blank lines. */
    private boolean begun;

    private boolean onlyDirectives;
    private boolean hasDirective;
    private boolean documentEnded = true;
    private int firstLine;
    private long firstCharacter;

    public YamlDocuments(Reader text) {
        this.text = text;
    }

    /** Goes to the next document, past what is left of the one before. Returns false if there is none. */
    public boolean next() throws IOException {
        char[] rest = new char[512];
        while (!documentEnded) {
            read(rest, 0, rest.length);
        }
        if (!has(1)) {
            return false;
        }
        documentEnded = false;
        begun = false;
        onlyDirectives = true;
        hasDirective = false;
        firstLine = lines;
        firstCharacter = characters;
        return true;
    }

    /** How many lines of the text come before this document. */
    public int linesBefore() {
        return firstLine;
    }

    /** How many characters of the text come before this document. */
    public long charactersBefore() {
        return firstCharacter;
    }

    /** Reads from the current document; -1 at its end. */
    @Override
    public int read(char[] target, int offset, int length) throws IOException {
        int count = 0;
        while (count < length && !documentEnded) {
            if (!has(1) || (atLineStart && endsHere())) {
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
            begun = true;
        }
        return count == 0 && length > 0 ? -1 : count;
    }

    /** Whether the line that begins here is not the document's any more. */
    private boolean endsHere() throws IOException {
        boolean marked = isMarked();
        if (marked && begun && !(onlyDirectives && hasDirective)) {
            return true;
        }
        char first = has(1) ? buffer[position] : '\n';
        hasDirective |= first == '%';
        onlyDirectives &= first == '%' || first == '#' || first == '\n' || first == '\r' || first == '\uFEFF';
        return false;
    }

    private boolean isMarked() throws IOException {
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

    /** Whether so many characters are left; then they are in the buffer. */
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

    /** Leaves the text open: the parser of each document closes what it read from. */
    @Override
    public void close() {}
}
