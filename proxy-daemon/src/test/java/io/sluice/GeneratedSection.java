package io.sluice;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * A part of a document that is generated from the code, between two comments: {@code <!-- generated: NAME -->} and
 * {@code <!-- end -->}.
 */
public final class GeneratedSection {
    private static final String PROPERTY = "sluice.writeDocs";
    private static final String END = "<!-- end -->";

    private GeneratedSection() {}

    /**
     * Fails if a section differs from the content that the code generates. With {@code -Dsluice.writeDocs=true}, replaces
     * the section instead.
     *
     * @param content lines of Markdown, without an empty line at either end
     */
    public static void check(Path document, String name, String content) throws IOException {
        String text = Files.readString(document);
        String begin = "<!-- generated: " + name + " -->";
        int start = text.indexOf(begin);
        assertThat(start).as("%s contains %s", document, begin).isNotNegative();
        start += begin.length();
        int end = text.indexOf(END, start);
        assertThat(end).as("%s contains %s after %s", document, END, begin).isNotNegative();
        String expected = "\n" + content.strip() + "\n";
        if (Boolean.getBoolean(PROPERTY)) {
            Files.writeString(document, text.substring(0, start) + expected + text.substring(end));
            return;
        }
        assertThat(text.substring(start, end))
                .as("section '%s' of %s; to write it, repeat this test with -D%s=true", name, document, PROPERTY)
                .isEqualTo(expected);
    }
}
