package io.sluice.text;

import java.util.Collection;
import java.util.Comparator;

/** Suggests the most similar valid name for a misspelled name. */
public final class Suggestion {
    private Suggestion() {}

    /** Returns a string such as {@code "; did you mean 'feed'?"}, or an empty string if no choice is similar. */
    public static String among(Collection<String> choices, String typed) {
        return choices.stream()
                .min(Comparator.comparingInt(choice -> distance(choice, typed)))
                .filter(choice -> distance(choice, typed) <= Math.max(2, typed.length() / 3))
                .map(choice -> "; did you mean '" + choice + "'?")
                .orElse("");
    }

    /** Returns the Levenshtein distance, ignoring case. */
    private static int distance(String a, String b) {
        int[] row = new int[b.length() + 1];
        for (int j = 0; j <= b.length(); j++) {
            row[j] = j;
        }
        for (int i = 1; i <= a.length(); i++) {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.length(); j++) {
                boolean same = Character.toLowerCase(a.charAt(i - 1)) == Character.toLowerCase(b.charAt(j - 1));
                int cost = Math.min(diagonal + (same ? 0 : 1), Math.min(row[j], row[j - 1]) + 1);
                diagonal = row[j];
                row[j] = cost;
            }
        }
        return row[b.length()];
    }
}
