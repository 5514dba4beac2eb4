package io.sluice.text;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** A table with aligned columns. A cell may have several lines. */
public final class Table {
    private static final int GAP = 2;

    /** Truncation leaves at least this many characters of a column. */
    private static final int MIN_WIDTH = 8;

    private static final String ELLIPSIS = "…";

    private final List<List<String>> rows = new ArrayList<>();
    private final boolean[] right;
    private final boolean[] important;
    private final int columns;

    /** Creates a table with these column headings. */
    public Table(String... headings) {
        columns = headings.length;
        right = new boolean[columns];
        important = new boolean[columns];
        rows.add(List.of(headings));
    }

    /** Aligns these columns, counted from 0, at their right edge, as is usual for numbers; returns this table. */
    public Table alignRight(int... indexes) {
        for (int index : indexes) {
            right[index] = true;
        }
        return this;
    }

    /** Truncates this column, counted from 0, only if it does not suffice to truncate the others. */
    public void truncateLast(int index) {
        important[index] = true;
    }

    /** Adds a row; lines within a cell are separated by {@code \n}. */
    public void row(String... cells) {
        List<String[]> lines = new ArrayList<>();
        int height = 1;
        for (String cell : cells) {
            String[] split = cell.split("\n");
            lines.add(split);
            height = Math.max(height, split.length);
        }
        for (int line = 0; line < height; line++) {
            List<String> row = new ArrayList<>();
            for (String[] cell : lines) {
                row.add(line < cell.length ? cell[line] : "");
            }
            rows.add(row);
        }
    }

    /** Returns the lines, starting with the headings, without trailing spaces. */
    public List<String> lines() {
        return lines(Integer.MAX_VALUE, false);
    }

    /**
     * Returns lines of at most {@code maxWidth} characters if possible. Truncates the last column, which has the free
     * text, and then the widest ones, but no numbers.
     *
     * @param onlyFreeText whether to truncate only the last column, so that no name or address is incomplete
     */
    public List<String> lines(int maxWidth, boolean onlyFreeText) {
        int[] widths = widths(maxWidth, onlyFreeText);
        List<String> lines = new ArrayList<>();
        for (List<String> row : rows) {
            StringBuilder line = new StringBuilder();
            for (int i = 0; i < columns; i++) {
                String cell = truncated(row.get(i), widths[i]);
                String padding = " ".repeat(widths[i] - cell.length());
                line.append(right[i] ? padding + cell : cell + padding).append(" ".repeat(GAP));
            }
            lines.add(line.toString().stripTrailing());
        }
        return lines;
    }

    private int[] widths(int maxWidth, boolean onlyFreeText) {
        int[] widths = new int[columns];
        for (List<String> row : rows) {
            for (int i = 0; i < columns; i++) {
                widths[i] = Math.max(widths[i], row.get(i).length());
            }
        }
        long excess = Arrays.stream(widths).asLongStream().sum() + (long) GAP * (columns - 1) - maxWidth;
        for (; excess > 0; excess--) {
            int shrunk = toShrink(widths, onlyFreeText);
            if (shrunk < 0) {
                break;
            }
            widths[shrunk]--;
        }
        return widths;
    }

    /** The column to make narrower by one character; -1 if there is none. */
    private int toShrink(int[] widths, boolean onlyFreeText) {
        int last = columns - 1;
        if (!right[last] && widths[last] > MIN_WIDTH) {
            return last;
        }
        if (onlyFreeText) {
            return -1;
        }
        int widest = widestText(widths, false);
        return widest < 0 ? widestText(widths, true) : widest;
    }

    /** The widest column that is not aligned right and can be truncated; -1 if there is none. */
    private int widestText(int[] widths, boolean ofImportant) {
        int widest = -1;
        for (int i = 0; i < columns; i++) {
            boolean candidate = !right[i] && important[i] == ofImportant && widths[i] > MIN_WIDTH;
            if (candidate && (widest < 0 || widths[i] > widths[widest])) {
                widest = i;
            }
        }
        return widest;
    }

    /** Returns the string, cut at {@code maxLength} characters with an ellipsis at its end. */
    public static String truncated(String text, int maxLength) {
        return text.length() <= maxLength ? text : text.substring(0, Math.max(0, maxLength - 1)) + ELLIPSIS;
    }

    /** Returns a number and a noun in the singular or plural: {@code 1 address}, {@code 2 addresses}. */
    public static String count(long count, String one) {
        return count + " " + one + (count == 1 ? "" : one.endsWith("s") ? "es" : "s");
    }
}
